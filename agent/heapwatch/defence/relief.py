"""Gives memory back: caches that the service registered, garbage, free memory of malloc."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from heapwatch.failures import Failures

SPACING = 10.0
LONGEST_SPACING = 600.0
SHARE = 0.02
"""Of the time that giving back may take."""
WORTH = 0.01


@dataclass(frozen=True)
class Relieved:
    """What it came to: RSS in bytes before and after, seconds, and callbacks that failed."""

    before: int
    after: int
    seconds: float
    failed: int


class Relief:
    """Runs `callbacks`, a collection and `trim`; not again soon, and later still when it was of no use."""

    def __init__(
        self,
        callbacks: Sequence[Callable[[], object]],
        trim: Callable[[], bool],
        rss: Callable[[], int],
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callbacks = callbacks
        self._trim = trim
        self._rss = rss
        self._failures = failures
        self._clock = clock
        self._spacing = SPACING
        self._next = clock()

    def due(self) -> bool:
        """Whether it may be done now."""
        return self._clock() >= self._next

    def postpone(self) -> None:
        """As if it had been done."""
        self._next = self._clock() + LONGEST_SPACING

    def __call__(self) -> Relieved:
        """Give back what can be given, now. The service pauses for a full collection."""
        before, began = self._rss(), self._clock()
        failed = sum(not self._call(callback) for callback in list(self._callbacks))
        gc.collect()
        self._trim()
        after, seconds = self._rss(), self._clock() - began
        helped = before - after > WORTH * before
        self._spacing = SPACING if helped else min(LONGEST_SPACING, 2 * self._spacing)
        self._next = self._clock() + max(self._spacing, seconds / SHARE)
        return Relieved(before, after, seconds, failed)

    def _call(self, callback: Callable[[], object]) -> bool:
        try:
            callback()
        except Exception as error:
            self._failures.caught("a callback of on_pressure", error)
            return False
        return True
