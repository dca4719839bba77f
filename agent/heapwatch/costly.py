"""Readings whose cost grows with the process, repeated no more often than their cost allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

SHARE = 0.001
"""Part of the time that a costly reading may take: 10 ms are repeated after 10 s, 200 ms after 200 s."""

Reading = TypeVar("Reading")


class Costly(Generic[Reading]):
    """Calls `read`, or gives its last result while a new one would be too dear."""

    def __init__(self, read: Callable[[], Reading], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._not_before = 0.0
        self._last: Reading | None = None

    def __call__(self) -> Reading | None:
        """The reading, at most as old as its cost divided by SHARE. What `read` raises passes."""
        began = self._clock()
        if began >= self._not_before:
            self._last = self._read()
            self._not_before = began + (self._clock() - began) / SHARE
        return self._last
