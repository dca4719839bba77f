"""Requests that can be stopped: one that runs in a thread, in a greenlet, or as a task of an event loop."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import CodeType, FrameType
from typing import Any, ClassVar

from heapwatch.instrument.requests import Request
from heapwatch.threads import new_lock

_UNDIVIDED = frozenset(
    {"__enter__", "__exit__", "__aenter__", "__aexit__", "__del__", "close", "release", "rollback"}
)
"""Functions that take or give back something: broken off in the middle, they would leave it taken."""
_HOLDING_LOCKS = frozenset({"logging", "threading", "queue", "importlib._bootstrap"})
_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_call_in_main_thread = ctypes.pythonapi.Py_AddPendingCall
_call_in_main_thread.argtypes = (ctypes.c_void_p, ctypes.py_object)
_truth = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p)


class Stopped(BaseException):
    """Raised in the middle of a request that must end. Not an Exception: it is nobody's to handle."""


class WatchedThread:
    """A request whose application runs in thread `thread`, from its making to `close`; called by `caller`.

    Safe to stop until `close` returns: `Stopped` comes before or never.
    """

    def __init__(self, request: Request, thread: int, caller: CodeType) -> None:
        self.request = request
        self._thread = thread
        self._caller = caller
        self._lock = new_lock()
        self.open = True
        self._raised = False

    def stop(self) -> bool:
        """Raise Stopped in the thread, soon; False when it is too late, or not now.

        It comes between two bytecodes of the thread, so not while C code runs; and not while a function runs
        whose name or module says that it takes or releases things or holds a lock of the standard library's.
        """
        with self._lock:
            if not self.open or is_busy(sys._current_frames().get(self._thread), self._caller):
                return False
            self._raised = True
            _raise_in_thread(self._thread, Stopped)
            return True

    def close(self) -> None:
        """From the thread itself: the application has returned. May raise Stopped, but never after it."""
        with self._lock:
            self.open = False
            if self._raised:
                _raise_in_thread(self._thread, ctypes.py_object())


class WatchedGreenlet:
    """A request that runs in `current()`, a greenlet of gevent's hub with `loop`, from its making to `close`.

    Its own thread raises Stopped, after a look at which greenlet runs: so it comes in no other, and never
    after `close`. One that waits gets it from its hub, as it would a gevent.Timeout; one that runs gets it
    between two of its bytecodes, as from a signal's handler, and that in the main thread only.
    """

    def __init__(self, request: Request, current: Callable[[], Any], loop: Any, caller: CodeType) -> None:
        self.request = request
        self.open = True
        self._current = current
        self._greenlet = current()
        self._loop = loop
        self._caller = caller
        self._due = self._hub_asked = False
        self._errand: _Errand | None = None

    def stop(self) -> bool:
        """Have Stopped raised in the greenlet, as soon as it may be."""
        self._due = True
        if self._errand is None:
            errand = _Errand(self._between_bytecodes)
            self._errand = errand if errand.send() else None
        if not self._hub_asked:
            self._hub_asked = True
            self._loop.run_callback_threadsafe(self._from_hub)
        return True

    def close(self) -> None:
        """From the greenlet itself: the application has returned. May raise Stopped, but never after it."""
        self.open = False

    def _from_hub(self) -> None:
        self._hub_asked = False
        if self.open and self._due and not is_busy(self._greenlet.gr_frame, self._caller):
            self._due = False
            self._greenlet.throw(Stopped)

    def _between_bytecodes(self) -> None:
        self._errand = None
        runs = self._current() is self._greenlet
        if runs and self.open and self._due and not is_busy(sys._getframe(), self._caller, waits=False):
            self._due = False
            raise Stopped


class _Errand:
    """Has the main thread call `function` between two bytecodes; what that raises, goes on from there."""

    _sent: ClassVar[set[_Errand]] = set()

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def send(self) -> bool:
        """Ask for the call, which comes when the main thread runs Python code; False where too many wait."""
        self._sent.add(self)  # the interpreter keeps no reference
        accepted = not _call_in_main_thread(_truth, self)
        if not accepted:
            self._sent.discard(self)
        return accepted

    def __bool__(self) -> bool:
        # What the interpreter calls must be C, and say by its result whether it raised: the test for truth.
        self._sent.discard(self)
        with suppress(Exception):  # an error of ours is nothing to the host
            self._function()
        return False


class WatchedTask:
    """A request that the asyncio task `task` of `loop` serves.

    It waits for the threads to which it has lent functions, and isn't stopped meanwhile: they are.
    """

    def __init__(self, request: Request, task: Any, loop: Any) -> None:
        self.request = request
        self.stopped = False
        self.task = task
        self._loop = loop
        self._lock = new_lock()
        self._lent = 0
        self._asked = False
        self._open = True

    def stop(self) -> bool:
        """Cancel the task as soon as its loop can; False when it was asked to, is too late, or not now."""
        if self._asked or not self._open or self._lent:
            return False
        self._asked = True
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def lend(self) -> bool:
        """From another thread that begins a function of the request: whether the task still waits for it."""
        with self._lock:
            self._lent += not self.stopped
            return not self.stopped

    def give_back(self) -> None:
        """From the same thread: the function has ended."""
        with self._lock:
            self._lent -= 1

    def close(self) -> None:
        """From the task itself: it is served."""
        self._open = False

    def _cancel(self) -> None:
        with self._lock:
            self.stopped = self._open and not self._lent and not self.request.delivered
            self._asked = self.stopped
        if self.stopped:
            self.task.cancel()


def is_busy(frame: FrameType | None, caller: CodeType, waits: bool = True) -> bool:
    """Whether what runs in `frame`, called by `caller` at last, must not be broken off just now.

    Code of gevent's expects exceptions where it `waits`, and only there.
    """
    while frame is not None and frame.f_code is not caller:
        module = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name in _UNDIVIDED or module in _HOLDING_LOCKS:
            return True
        if not waits and module.startswith("gevent."):
            return True
        frame = frame.f_back
    return False


def is_undivided(function: Callable[..., Any]) -> bool:
    """Whether `function` must not be broken off at all, and not be left out either."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", "") in _UNDIVIDED
