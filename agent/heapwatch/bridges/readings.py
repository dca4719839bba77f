"""The latest points of all metrics, shared by whoever shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from heapwatch_wire.otlp import Point

from heapwatch.failures import Failures
from heapwatch.threads import new_rlock

FRESH = 1.0


class Readings:
    """Calls `read` at most once in a while, on the thread of whoever asks first; never raises."""

    def __init__(
        self,
        read: Callable[[], list[Point]],
        failures: Failures,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._read = read
        self._clock = clock
        self._lock = new_rlock()
        self._at = -FRESH
        self._points: list[Point] = []
        self._by_name: dict[str, list[Point]] = {}

    def points(self, age: float = FRESH) -> list[Point]:
        """A point of each metric, at most `age` seconds old."""
        with self._lock:
            now = self._clock()
            if now - self._at >= age:
                self._at = now
                with self._failures.guard("readings"):
                    self._points = self._read()
                    self._by_name = _by_name(self._points)
            return self._points

    def of(self, name: str) -> list[Point]:
        """The points of one metric."""
        with self._lock:
            self.points()
            return self._by_name.get(name, [])


def _by_name(points: Iterable[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.metric.name, []).append(point)
    return found
