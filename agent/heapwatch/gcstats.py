"""Garbage collections: how many, what they freed, and how long each stopped the interpreter."""

from __future__ import annotations

import gc
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from heapwatch_wire.metrics import PAUSE_BUCKETS

GENERATIONS = 3


@dataclass(frozen=True)
class Generation:
    """Totals of a generation since the agent's start; pauses in seconds, one more count than buckets."""

    collections: int
    collected: int
    uncollectable: int
    pause_counts: tuple[int, ...]
    pause_sum: float


class GcStats:
    """Counts what gc.callbacks reports.

    The callback runs inside a collection, so it makes nothing that the collector would track: only
    integers and floats, in lists made beforehand.
    """

    def __init__(self) -> None:
        self._callback = self._on_collection
        self.reset()

    def reset(self) -> None:
        """Count from zero, as in a child after fork."""
        self._began = 0.0
        self._counts = [[0] * (len(PAUSE_BUCKETS) + 1) for _ in range(GENERATIONS)]
        self._sums = [0.0] * GENERATIONS
        self._before = gc.get_stats()

    def install(self) -> None:
        """Begin to measure; safe to call twice."""
        if self._callback not in gc.callbacks:
            gc.callbacks.append(self._callback)

    def remove(self) -> None:
        """Stop measuring."""
        if self._callback in gc.callbacks:
            gc.callbacks.remove(self._callback)

    def generations(self) -> Iterator[Generation]:
        """Totals from the youngest generation to the oldest."""
        totals = zip(gc.get_stats(), self._before, strict=True)
        for number, (now, before) in enumerate(totals):
            yield Generation(
                collections=now["collections"] - before["collections"],
                collected=now["collected"] - before["collected"],
                uncollectable=now["uncollectable"] - before["uncollectable"],
                pause_counts=tuple(self._counts[number]),
                pause_sum=self._sums[number],
            )

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        if self._began == 0.0:  # installed in the middle of a collection
            return
        pause = time.perf_counter() - self._began
        generation = info["generation"]
        self._counts[generation][bisect_left(PAUSE_BUCKETS, pause)] += 1
        self._sums[generation] += pause
