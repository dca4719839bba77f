"""Requests that can be stopped: one that runs in a thread, and one that an event loop runs as a task."""

from __future__ import annotations

import ctypes
import sys
import time
from types import CodeType, FrameType
from typing import Any

from heapwatch.instrument.requests import Request
from heapwatch.threads import new_lock

AGAIN = 1.0
"""Seconds after which a stop that came to nothing is repeated: what is raised in a finalizer gets lost."""

_CLEANING_UP = frozenset({"__exit__", "__aexit__", "__del__", "close", "release", "rollback"})
_HOLDING_LOCKS = frozenset({"logging", "threading", "queue", "importlib._bootstrap"})
_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)


class Stopped(BaseException):
    """Raised in the middle of a request that must end. Not an Exception: it is nobody's to handle."""


class WatchedThread:
    """A request whose application runs in thread `thread`, from its making to `close`; called by `caller`.

    Safe to stop until `close` returns: `Stopped` comes before or never, and is raised once at a time.
    """

    def __init__(self, request: Request, thread: int, caller: CodeType) -> None:
        self.request = request
        self._thread = thread
        self._caller = caller
        self._lock = new_lock()
        self.open = True
        self._raised = 0.0

    @property
    def stopped(self) -> bool:
        """Whether `stop` did it."""
        return self._raised > 0

    def stop(self) -> bool:
        """Raise Stopped in the thread, soon; False when it is too late, too early, or not now.

        It comes between two bytecodes of the thread, so not while C code runs; and not while a function runs
        whose name or module says that it releases things or holds a lock of the standard library's.
        """
        with self._lock:
            now = time.monotonic()
            if not self.open or now - self._raised < AGAIN or self._is_busy():
                return False
            first = not self.stopped
            self._raised = now
            _raise_in_thread(self._thread, Stopped)
            return first

    def close(self) -> None:
        """From the thread itself: the application has returned. May raise Stopped, but never after it."""
        with self._lock:
            self.open = False
            if self.stopped:
                _raise_in_thread(self._thread, ctypes.py_object())

    def _is_busy(self) -> bool:
        frame: FrameType | None = sys._current_frames().get(self._thread)
        while frame is not None and frame.f_code is not self._caller:
            if frame.f_code.co_name in _CLEANING_UP or frame.f_globals.get("__name__") in _HOLDING_LOCKS:
                return True
            frame = frame.f_back
        return False


class WatchedTask:
    """A request that the asyncio task `task` of `loop` serves."""

    def __init__(self, request: Request, task: Any, loop: Any) -> None:
        self.request = request
        self.stopped = False
        self.task = task
        self._loop = loop
        self._asked = False
        self._open = True

    def stop(self) -> bool:
        """Cancel the task as soon as its loop can; False when it was asked to, or is too late."""
        if self._asked or not self._open or self.request.answering:
            return False
        self._asked = True
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def close(self) -> None:
        """From the task itself: it is served."""
        self._open = False

    def _cancel(self) -> None:
        if self._open and not self.request.answering:
            self.stopped = True
            self.task.cancel()
