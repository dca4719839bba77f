"""The sampling interval that keeps the sampler within its share of the processor.

Samples are counted, and what one costs is measured once (see `samplecost`). The check that every allocation
passes, sampled or not, doesn't depend on the interval and is no part of this. Each sample carries its own
interval, so that a change leaves all estimates unbiased.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from heapwatch.sampler import Sampler

logger = logging.getLogger("heapwatch")

LARGEST_INTERVAL = 64 << 20
LOOK = 1.0
CEILING = 20e-6
"""Seconds that no sample costs: where even this would be within the budget, nothing needs to be measured."""
LEAST = 0.1e-6
PATIENCE_UP = 2
PATIENCE_DOWN = 5
MARGIN = 0.75


class SamplingBudget:
    """Doubles and halves the interval of `sampler`, at least `smallest` bytes, so that samples take at most
    about `share` of one processor. `cost()` gives the seconds of one sample; `clock` seconds that only grow.

    It rises after PATIENCE_UP looks over the budget, and falls after PATIENCE_DOWN looks in which half the
    interval would have stayed within MARGIN of the budget.
    """

    def __init__(
        self,
        sampler: Sampler,
        share: float,
        smallest: int,
        cost: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampler = sampler
        self._share = share
        self._smallest = smallest
        self._measure = cost or sampler.sample_cost
        self._clock = clock
        self._cost = 0.0
        self._over = self._under = 0
        self._begin()

    def look(self, now: float) -> None:
        """Judge the samples since the last look and change the interval when it is time to."""
        stats = self._sampler.stats()
        interval = int(stats.get("interval", 0))
        elapsed, samples = self._clock() - self._at, stats.get("samples", 0) - self._samples
        if interval <= 0 or elapsed <= 0:
            return
        if not stats.get("enabled", True):  # paused: a rate of nothing would ask for the smallest interval
            self._begin()
            return
        if stats.get("interval_doublings", 0) > self._doublings:
            # The sampler's table was full: a smaller interval would fill it again.
            self._smallest = max(self._smallest, interval)
        rate = samples / elapsed
        if not self._cost and rate * CEILING > self._share:
            self._cost = max(LEAST, self._measure())
        self._judge(interval, rate * self._cost)
        self._begin()

    def _begin(self) -> None:
        stats = self._sampler.stats()
        self._at = self._clock()
        self._samples = stats.get("samples", 0)
        self._doublings = stats.get("interval_doublings", 0)

    def _judge(self, interval: int, used: float) -> None:
        self._over = self._over + 1 if used > self._share else 0
        self._under = self._under + 1 if used * 2 <= self._share * MARGIN else 0
        wanted = max(interval, self._smallest)
        if self._over >= PATIENCE_UP:
            wanted = _enough(wanted, used / self._share)
        elif self._under >= PATIENCE_DOWN:
            wanted = max(self._smallest, wanted // 2)
        if wanted == interval:
            return
        self._over = self._under = 0
        self._sampler.set_interval(wanted)
        logger.debug(
            "heapwatch: sampling took %.2f%% of a processor, its interval goes from %d to %d bytes",
            used * 100,
            interval,
            wanted,
        )


def _enough(interval: int, factor: float) -> int:
    """`interval` doubled until it is `factor` times as large, or the largest."""
    while factor > 1 and interval < LARGEST_INTERVAL:
        interval, factor = interval * 2, factor / 2
    return min(interval, LARGEST_INTERVAL)
