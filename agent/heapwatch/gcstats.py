"""Garbage collections: how many, what they freed, how long each stopped the interpreter, and whom."""

from __future__ import annotations

import gc
import math
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from heapwatch_wire.metric import PAUSE_BUCKETS

GENERATIONS = 3
RECENT = 256


@dataclass(frozen=True)
class Generation:
    """Totals of a generation since the agent's start; pauses in seconds, one more count than buckets.

    `examined` are the young objects that waited when its collections began: allocated and not yet freed.
    """

    collections: int
    collected: int
    uncollectable: int
    examined: int
    pause_counts: tuple[int, ...]
    pause_sum: float


@dataclass(frozen=True)
class Pauses:
    """Pauses in seconds, one more count than buckets."""

    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True)
class Pause:
    """A collection: when it ended (Unix seconds), of which generation, how long, and whether requests ran."""

    time: float
    generation: int
    seconds: float
    inside: bool


class GcStats:
    """Counts what gc.callbacks reports.

    The callback runs inside a collection, so it leaves nothing behind that the collector would track: only
    integers and floats, in lists made beforehand. `running` are the requests that run: a collection that
    begins while there are some is "inside", seen by all of them, since it holds the interpreter.
    """

    def __init__(self, running: Collection[int] = ()) -> None:
        self.running = running
        self._callback = self._on_collection
        self.reset()

    def reset(self) -> None:
        """Count from zero, as in a child after fork."""
        self._began = 0.0
        self._inside = 0
        self._running = 0
        self._counts = [[0] * (len(PAUSE_BUCKETS) + 1) for _ in range(GENERATIONS)]
        self._sums = [0.0] * GENERATIONS
        self._examined = [0] * GENERATIONS
        self._place_counts = [[0] * (len(PAUSE_BUCKETS) + 1) for _ in range(2)]
        self._place_sums = [0.0] * 2
        self._recent = [0.0] * (4 * RECENT)
        self._collections = 0
        self.seconds = 0.0  # of all pauses
        self.suffered = 0.0  # seconds of pauses, times the requests that ran
        self.last_full = 0.0  # CPU time: what one costs, however busy the machine is
        self._full_began = 0.0
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
                examined=self._examined[number],
                pause_counts=tuple(self._counts[number]),
                pause_sum=self._sums[number],
            )

    def inside(self) -> Pauses:
        """Pauses of collections that began while requests ran."""
        return Pauses(tuple(self._place_counts[1]), self._place_sums[1])

    def outside(self) -> Pauses:
        """Pauses of collections that began while none did."""
        return Pauses(tuple(self._place_counts[0]), self._place_sums[0])

    def quantiles(self, inside: bool) -> dict[str, float]:
        """Of the last collections inside or outside of requests: count, and p50, p99, max in seconds."""
        return _quantiles(pause.seconds for pause in self.recent() if pause.inside == inside)

    def generation_quantiles(self, generation: int) -> dict[str, float]:
        """The same of the last collections of a generation."""
        return _quantiles(pause.seconds for pause in self.recent() if pause.generation == generation)

    def recent(self, limit: int = RECENT) -> list[Pause]:
        """The last collections, the newest first; at most RECENT are kept."""
        last = self._collections
        found = []
        for number in range(last - 1, max(-1, last - 1 - min(limit, RECENT)), -1):
            at = 4 * (number % RECENT)
            ended, generation, seconds, inside = self._recent[at : at + 4]
            found.append(Pause(ended, int(generation), seconds, bool(inside)))
        return found

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        generation = info["generation"]
        if phase == "start":
            self._running = len(self.running)
            self._inside = 1 if self._running else 0
            self._examined[generation] += gc.get_count()[0]
            if generation == GENERATIONS - 1:
                self._full_began = time.thread_time()
            self._began = time.perf_counter()
            return
        if self._began == 0.0:  # installed in the middle of a collection
            return
        pause = time.perf_counter() - self._began
        bucket = bisect_left(PAUSE_BUCKETS, pause)
        self._counts[generation][bucket] += 1
        self._sums[generation] += pause
        self.seconds += pause
        self.suffered += pause * self._running
        self._place_counts[self._inside][bucket] += 1
        self._place_sums[self._inside] += pause
        if generation == GENERATIONS - 1:
            self.last_full = time.thread_time() - self._full_began
        self._note(generation, pause)

    def _note(self, generation: int, pause: float) -> None:
        at = 4 * (self._collections % RECENT)
        recent = self._recent
        recent[at] = time.time()
        recent[at + 1] = generation
        recent[at + 2] = pause
        recent[at + 3] = self._inside
        self._collections += 1


class GcShare:
    """Part of the time that collections take, for one reader."""

    def __init__(self, stats: GcStats) -> None:
        self._stats = stats
        self._then, self._before = time.monotonic(), stats.seconds

    def __call__(self) -> float:
        """Since the last call, or since it was made."""
        then, before = self._then, self._before
        self._then, self._before = time.monotonic(), self._stats.seconds
        spent = self._before - before if self._before >= before else self._before  # counted from zero again
        return spent / (self._then - then) if self._then > then else 0.0


def _quantiles(pauses: Iterable[float]) -> dict[str, float]:
    seconds = sorted(pauses)
    if not seconds:
        return {"count": 0}
    last = len(seconds) - 1
    return {
        "count": len(seconds),
        "p50": seconds[last // 2],
        "p99": seconds[math.ceil(last * 0.99)],
        "max": seconds[last],
    }
