"""The agent's own kind of thread: a daemon below the module `threading`.

gevent replaces `threading` and what is in `_thread`, before us or while programs run, also in a child right
after a fork. A `threading.Thread` that lives through that ends with an error on stderr, one more thread than
gevent expects after a fork is an error too, and a greenlet in our thread's place would wait for the
service's. So the functions here come from a `_thread` of our own, as the interpreter makes it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import BuiltinImporter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threading import Lock, RLock


def _pristine(name: str) -> Any:
    """The built-in module `name` as nobody has changed it yet."""
    spec = BuiltinImporter.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_thread = _pristine("_thread")


def new_lock() -> Lock:
    """A lock between threads; whoever takes it must not switch greenlets before giving it back."""
    lock: Lock = _thread.allocate_lock()
    return lock


def new_rlock() -> RLock:
    """A lock between threads that its owner may take again."""
    lock: RLock = _thread.RLock()
    return lock


def get_ident() -> int:
    """The number of this thread, whatever greenlet runs on it."""
    number: int = _thread.get_ident()
    return number


def sleep(seconds: float) -> None:
    """Hold this thread, and no greenlet besides."""
    Signal().wait(seconds)


class Signal:
    """An event that is set once and for all."""

    def __init__(self) -> None:
        self._lock = new_lock()
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
        _thread.start_new_thread(self._run, (target,))

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
