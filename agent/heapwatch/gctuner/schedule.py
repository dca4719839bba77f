"""Which generation is collected when, while requests come and go."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from heapwatch.gcstats import GcStats
from heapwatch.gctuner.controls import Controls
from heapwatch.gctuner.model import FULL_SHARE, Plan
from heapwatch.instrument.inflight import InFlight
from heapwatch.journal import Journal

LONGEST_WAIT = 1.0
"""Seconds that a due collection waits for a moment without a request; then it runs at the end of any."""
IDLE = 0.05
"""Seconds without a request after which a process counts as idle."""


class Schedule:
    """Collects between requests what CPython would else collect inside them.

    The young generation is due when it holds half of what its threshold allows, so that a request that
    begins afterwards has room for the other half. CPython's own thresholds stay behind it as the bound.
    """

    def __init__(
        self,
        stats: GcStats,
        controls: Controls,
        in_flight: InFlight,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats, self._controls, self._in_flight, self._journal = stats, controls, in_flight, journal
        self._clock = clock
        self._due_since = 0.0
        self.last_full = clock()
        self.bytes_due = False
        """More bytes have come to live since the last full collection than garbage may take."""
        self.plan(None)

    def plan(self, plan: Plan | None) -> None:
        """Follow `plan`; without one nothing is ever due."""
        self._plan = plan
        self._young_due = max(self._controls.natural[0], plan.thresholds[0] // 2) if plan else 1 << 62

    def at_boundary(self, running: int) -> None:
        """A response is out and `running` requests run still: collect what is due, if it may be now."""
        plan, young = self._plan, gc.get_count()[0]
        if plan is None or (young < self._young_due and not self.bytes_due):
            return
        now = self._clock()
        if running:
            self._due_since = self._due_since or now
            if now - self._due_since < LONGEST_WAIT:
                return
        self._collect(self._generation(plan, plan.full_interval), "young", "a request has ended")

    def when_idle(self) -> None:
        """No request may run now: collect early what will be due soon."""
        plan, in_flight = self._plan, self._in_flight
        if plan is None or in_flight.running or not in_flight.begun:
            return
        if self._clock() - in_flight.last_ended < IDLE:
            return
        generation = self._generation(plan, plan.full_interval / 2)
        if generation or gc.get_count()[0] >= self._controls.natural[0]:
            self._collect(generation, "idle", "no request runs")

    def collect_all(self) -> tuple[int, float]:
        """A full collection; (objects freed, seconds)."""
        began = self._clock()
        freed = gc.collect()
        self.last_full = self._clock()
        self.bytes_due = False
        return freed, self.last_full - began

    def _generation(self, plan: Plan, full_interval: float) -> int:
        _, middle, old = gc.get_count()
        since = self._clock() - self.last_full
        affordable = since >= self._stats.last_full / FULL_SHARE
        if affordable and (self.bytes_due or (since >= full_interval and (middle or old))):
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
