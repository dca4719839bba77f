"""CPU time of a piece of work."""

from __future__ import annotations

import time
from _thread import get_ident


class CpuClock:
    """Of the thread that begins and ends the work, or of the steps of a task, where those are told."""

    __slots__ = ("_began", "_seconds", "_thread")

    def __init__(self) -> None:
        self._thread = get_ident()
        self._seconds = 0.0
        self._began = time.thread_time()

    def step_began(self) -> None:
        """The task is resumed by the event loop; other work ran on this thread before."""
        self._began = time.thread_time()

    def step_ended(self) -> None:
        """The task waits, or has ended."""
        now = time.thread_time()
        self._seconds += now - self._began
        self._began = now

    def add(self, seconds: float) -> None:
        """Another thread spent so much for this work."""
        self._seconds += seconds

    def seconds(self) -> float | None:
        """Up to now; None on another thread than at the beginning, whose time before is unknown."""
        if self._thread != get_ident():
            return None
        return self._seconds + time.thread_time() - self._began
