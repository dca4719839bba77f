"""The slow tier: what grows by so little that it takes days to tell, from the collector's coarse history."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.growth import THRESHOLDS
from heapwatch_wire.settings import AnalyzerSettings

from .client import Collector, CollectorError
from .forecasts import forecasts
from .leaks.growing import GrowingSite, growing_sites
from .observations import Observations
from .rss import growing_instances

POINTS = 192
"""Of each series: half an hour each over four days, so that every hour of the day is seen."""
SHARE = 0.02
"""Of the time that looking back may take, waiting for the collector included."""


@dataclass(frozen=True)
class Past:
    """What was found of a version: leaking sites, and the forecasts of the instances whose RSS grows."""

    leaks: tuple[GrowingSite, ...] = ()
    growing: tuple[InstanceForecast, ...] = ()


NOTHING = Past()


class SlowTier:
    """Looks back `history` seconds, each `history_interval` seconds or less often if it takes long."""

    def __init__(self, settings: AnalyzerSettings, collector: Collector) -> None:
        self._settings = settings
        self._collector = collector
        self._due: dict[str, float] = {}
        self._found: dict[str, Mapping[str, Past]] = {}

    def of(self, service: str, now: float) -> Mapping[str, Past]:
        """By version, as of the last look back at `service`, which is made anew at `now` if it is due."""
        if self._settings.history > self._settings.window and now >= self._due.get(service, 0.0):
            begun = time.monotonic()
            self._look_safely(service, now)
            spent = time.monotonic() - begun
            self._due[service] = now + max(self._settings.history_interval, spent / SHARE)
        return self._found.get(service, {})

    def _look_safely(self, service: str, now: float) -> None:
        # What happens now is judged also when the past can't be had.
        try:
            observed = self._collector.observe(service, now, self._settings.history, POINTS)
        except CollectorError as error:
            print(f"heapwatch analyze: no look back at {service}: {error}", file=sys.stderr, flush=True)
            return
        self._found[service] = {seen.version: look_back(seen, self._settings) for seen in observed}


def look_back(seen: Observations, settings: AnalyzerSettings) -> Past:
    """What grows over all of `seen`, a long time at a point each step."""
    thresholds = replace(THRESHOLDS, warmup=settings.warmup)
    expected = forecasts(seen, settings.memory_limit, settings.warmup)
    rising = growing_instances(seen, thresholds, expected)
    return Past(
        leaks=tuple(g for g in growing_sites(seen, thresholds) if g.finding.decision == "leak"),
        growing=tuple(f for f in expected if f.instance in rising),
    )
