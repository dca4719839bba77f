"""The agent's own kind of thread: a daemon below the module `threading`.

gevent replaces `threading` while programs run, also in a child right after a fork. A `threading.Thread` that
lives through that ends with an error on stderr, and one more thread than gevent expects after a fork is an
error too. What is taken from `_thread` when this module is imported stays as it was.
"""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread
from collections.abc import Callable


class Signal:
    """An event that is set once and for all."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        """Wake whoever waits, now and later."""
        if not self._set:
            self._set = True
            self._lock.release()

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; whether the signal is set."""
        if not self._set and self._lock.acquire(timeout=timeout):
            self._lock.release()
        return self._set


class BackgroundThread:
    """Runs `target(halt)` from now on; `target` must not raise, and return soon after `halt` is set."""

    def __init__(self, target: Callable[[Signal], None]) -> None:
        self.halt = Signal()
        self._ended = Signal()
        start_new_thread(self._run, (target,))

    @property
    def alive(self) -> bool:
        """Whether the target has not returned yet."""
        return not self._ended.is_set()

    def join(self, limit: float) -> bool:
        """Wait for the end at most `limit` seconds; whether it has come."""
        return self._ended.wait(limit)

    def _run(self, target: Callable[[Signal], None]) -> None:
        try:
            target(self.halt)
        finally:
            self._ended.set()
