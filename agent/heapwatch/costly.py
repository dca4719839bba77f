"""Readings whose cost grows with the process, repeated no more often than their cost allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

SHARE = 0.001
"""Part of a core that a costly reading may take: 10 ms of CPU are repeated after 10 s, 200 ms after 200 s."""

Reading = TypeVar("Reading")


class Costly(Generic[Reading]):
    """Calls `read`, or gives its last result, the same object, while a new one would be too dear.

    `spent` gives the seconds of CPU that the thread took so far: on a machine that is busy with others, the
    time that passes says nothing of what a reading costs.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._read = read
        self._clock = clock
        self._spent = spent
        self._not_before = 0.0
        self._last: Reading | None = None

    def __call__(self) -> Reading | None:
        """The reading, at most as old as its cost divided by SHARE. What `read` raises passes."""
        began = self._clock()
        if began >= self._not_before:
            before = self._spent()
            self._last = self._read()
            self._not_before = began + (self._spent() - before) / SHARE
        return self._last
