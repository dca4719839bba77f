"""Which generation is collected when, while requests come and go."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from heapwatch.gcstats import GcStats
from heapwatch.gctuner.controls import Controls
from heapwatch.gctuner.model import FULL_SHARE, Plan
from heapwatch.gctuner.patience import Patience
from heapwatch.instrument.inflight import InFlight
from heapwatch.journal import Journal

LONGEST_WAIT = 1.0
"""Seconds that it waits for a moment without a request when more bytes wait than may."""
OVERDUE = 2.0
"""Times the planned interval after which a full collection may stop requests that run."""
IDLE = 0.05
"""Seconds without a request after which a process counts as idle."""


class Schedule:
    """Collects between requests what CPython would else collect inside them.

    While no request runs, a collection is due as soon as CPython itself would start one: it stops nobody, and
    requests that begin afterwards have all the room there is. While some run, it waits for such a moment
    as `patience` says, which is a bound on bytes, or for the longest time between two full collections.
    CPython's own thresholds stay behind it as the bound.
    """

    def __init__(
        self,
        stats: GcStats,
        controls: Controls,
        in_flight: InFlight,
        journal: Journal,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats, self._controls, self._in_flight, self._journal = stats, controls, in_flight, journal
        self._patience, self._clock = patience, clock
        self._due_since = 0.0
        self.last_full = clock()
        self.bytes_due = False
        """More bytes have come to live since the last full collection than garbage may take."""
        self.plan(None)

    def plan(self, plan: Plan | None) -> None:
        """Follow `plan`; without one nothing is ever due."""
        self._plan = plan

    def at_boundary(self, running: int) -> None:
        """A response is out and `running` requests run still: collect what is due, if it may be now."""
        plan = self._plan
        if plan is None:
            return
        young, natural = gc.get_count()[0], self._controls.natural[0]
        full = young >= self._patience.level(running, plan.thresholds[0], natural)
        if not running:
            if full or self.bytes_due:
                self._collect(self._generation(plan.full_interval), "young", "a request has ended")
            return
        late = (self.bytes_due or young >= natural) and self._is_late(plan)
        if full or late:
            generation = self._generation(plan.full_interval * (1 if late else OVERDUE), late)
            self._collect(generation, "young", "a request has ended")

    def _is_late(self, plan: Plan) -> bool:
        now = self._clock()
        self._due_since = self._due_since or now
        return now - self._due_since >= (LONGEST_WAIT if self.bytes_due else plan.full_interval)

    def when_idle(self) -> None:
        """No request may run now: collect early what will be due soon."""
        plan, in_flight = self._plan, self._in_flight
        if plan is None or in_flight.running or not in_flight.begun:
            return
        if self._clock() - in_flight.last_ended < IDLE:
            return
        generation = self._generation(plan.full_interval / 2)
        if generation or gc.get_count()[0] >= self._controls.natural[0]:
            self._collect(generation, "idle", "no request runs")

    def collect_young(self) -> tuple[int, float]:
        """Collect all but the oldest generation; (objects freed, seconds)."""
        began = self._clock()
        return gc.collect(1), self._clock() - began

    def collect_all(self) -> tuple[int, float]:
        """A full collection; (objects freed, seconds)."""
        began = self._clock()
        freed = gc.collect()
        self.last_full = self._clock()
        self.bytes_due = False
        return freed, self.last_full - began

    def _generation(self, full_interval: float, for_bytes: bool = True) -> int:
        _, middle, old = gc.get_count()
        since = self._clock() - self.last_full
        affordable = since >= self._stats.last_full / FULL_SHARE
        if affordable and ((for_bytes and self.bytes_due) or (since >= full_interval and (middle or old))):
            return 2
        return 1 if middle >= self._controls.natural[1] else 0

    def _collect(self, generation: int, kind: str, reason: str) -> None:
        before = gc.get_count()
        self._due_since = 0.0
        if generation == 2:
            freed, seconds = self.collect_all()
            kind = "full" if kind == "young" else kind
        else:
            began = self._clock()
            freed, seconds = gc.collect(generation), self._clock() - began
        self._journal.note(
            kind,
            "act",
            reason,
            f"{before[0]} young objects, {before[1]} and {before[2]} collections since",
            f"generation {generation}: {freed} freed in {seconds * 1e3:.2f} ms",
        )
