"""The latest value of every metric of every instance that is alive, for the Prometheus page."""

from __future__ import annotations

import threading
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field

from heapwatch_collector.store.batch import Batch, Point, Series

STALE_AFTER = 60.0
STALE_PUSHES = 3
# An instance that makes up attribute values without end shows its first ones.
MOST_SERIES = 5000


@dataclass
class _Owner:
    """An instance: when it last delivered, how long before that, and what it said."""

    last: float
    gap: float = 0.0
    pid: str = ""
    values: dict[Series, Point] = field(default_factory=dict)

    def seen(self, now: float) -> None:
        if now > self.last:
            self.gap, self.last = now - self.last, now

    def stale(self, now: float) -> bool:
        return now - self.last > max(STALE_AFTER, STALE_PUSHES * self.gap)


class Live:
    """Fed with each committed batch; an instance leaves after a minute, or 3 pushes, of silence."""

    def __init__(self, now: Callable[[], float] = clock.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._owners: dict[tuple[str, str, str], _Owner] = {}

    def update(self, batch: Batch) -> None:
        """Take the points of `batch`; of a series the latest counts."""
        if not batch.points:
            # Profiles come just before metrics: counted too, they would look like a push interval of 0.
            return
        now = self._now()
        with self._lock:
            for instance in batch.instances:
                key = (instance.service, instance.version, instance.instance)
                owner = self._owners.setdefault(key, _Owner(now))
                owner.seen(now)
                owner.pid = instance.pid or owner.pid
            for number, point in batch.points:
                series = batch.series[number]
                values = self._owners[series.service, series.version, series.instance].values
                known = values.get(series)
                if known.time <= point.time if known else len(values) < MOST_SERIES:
                    values[series] = point
            for key in [k for k, owner in self._owners.items() if owner.stale(now)]:
                del self._owners[key]

    def values(self) -> list[tuple[Series, str, Point]]:
        """(series, pid of its instance, latest point) of all living instances."""
        now = self._now()
        with self._lock:
            return [
                (series, owner.pid, point)
                for owner in self._owners.values()
                if not owner.stale(now)
                for series, point in owner.values.items()
            ]
