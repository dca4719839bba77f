"""Rates and figures of the collector between two readings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from heapwatch.gcstats import GcStats, Generation
from heapwatch.gctuner.model import Rates
from heapwatch.instrument.inflight import InFlight
from heapwatch.sampler import Sampler

COST_RISE = 1.1
LEAST_BYTES = 256.0
"""Of a tracked object with what only it refers to: several blocks, so the size of one says too little."""


@dataclass(frozen=True)
class Figures:
    """What collections cost in a stretch of time. `seen` seconds of pauses that a request suffers on average
    (0 without requests): a pause counts for each request that runs. `share` of the time; `rss` bytes at its
    end, `grown` bytes in it."""

    seconds: float
    requests: int
    seen: float
    share: float
    rss: int
    grown: int


class Meter:
    """Remembers totals at the last `turn` and compares."""

    def __init__(
        self,
        stats: GcStats,
        in_flight: InFlight,
        sampler: Sampler,
        rss: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats, self._in_flight, self._sampler, self._rss, self._clock = (
            stats,
            in_flight,
            sampler,
            rss,
            clock,
        )
        self._began = clock()
        self._lowest_cost = 0.0
        self._start()

    def age(self) -> float:
        """Seconds since the last turn."""
        return self._clock() - self._since

    def live_bytes(self) -> float:
        """The sampler's estimate of live bytes; 0 without one."""
        return self._sampler.stats().get("live_bytes", 0)

    def turn(self) -> tuple[Rates, Figures]:
        """What was since the last turn; a new stretch begins."""
        seconds = max(1e-9, self.age())
        now = list(self._stats.generations())
        requests = self._in_flight.begun - self._requests
        suffered = self._stats.suffered - self._suffered
        total = sum(g.pause_sum for g in now) - sum(g.pause_sum for g in self._generations)
        rss = self._rss()
        figures = Figures(
            seconds=seconds,
            requests=requests,
            seen=suffered / requests if requests else 0.0,
            share=total / seconds,
            rss=rss,
            grown=rss - self._rss_before,
        )
        rates = self._rates(now, seconds, rss, requests)
        self._start(now, rss)
        return rates, figures

    def _rates(self, now: list[Generation], seconds: float, rss: int, requests: int) -> Rates:
        before = self._generations
        # Young collections are many or none in a stretch; where none, all of them so far say it.
        base = before[0] if now[0].examined > before[0].examined else None
        examined = now[0].examined - (base.examined if base else 0)
        collected = now[0].collected - (base.collected if base else 0)
        pause = now[0].pause_sum - (base.pause_sum if base else 0.0)
        sampled = self._sampler.stats()
        blocks = sampled.get("live_objects", 0)
        age = max(seconds, self._clock() - self._began)
        allocated = sum(n.examined - b.examined for n, b in zip(now, before, strict=True))
        return Rates(
            allocated=allocated / seconds,
            young_cost=self._cost(pause / examined) if examined else self._lowest_cost,
            survival=min(1.0, max(0.0, 1 - collected / examined)) if examined else 1.0,
            old_garbage=now[2].collected / age,
            full_pause=self._stats.last_full,
            object_bytes=max(LEAST_BYTES, sampled.get("live_bytes", 0) / blocks) if blocks else LEAST_BYTES,
            rss=rss,
            per_request=allocated / requests if requests else 0.0,
        )

    def _cost(self, measured: float) -> float:
        # A busy machine stops the process inside collections: the lowest cost is the true one. It may rise
        # slowly, since the service changes.
        allowed = self._lowest_cost * COST_RISE or measured
        self._lowest_cost = min(measured, allowed)
        return self._lowest_cost

    def _start(self, now: list[Generation] | None = None, rss: int | None = None) -> None:
        self._since = self._clock()
        self._generations = now or list(self._stats.generations())
        self._requests = self._in_flight.begun
        self._suffered = self._stats.suffered
        self._rss_before = self._rss() if rss is None else rss
