"""Growth that no line of Python explains, as the processes report it, joined over the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.evidence import Evidence
from heapwatch_wire.native import OUTSIDE_ID, joined

from ..forecasts import is_clear
from ..observations import Observations

FRESH = 180.0
"""Seconds for which a report counts: agents repeat it with each push while the growth goes on."""


def outside_python(seen: Observations, forecasts: Sequence[InstanceForecast]) -> list[Evidence]:
    """One suspicion while at least one process reports such growth, else none. It is never called a leak."""
    fresh = {
        report.instance: report.evidence
        for report in seen.reports
        if report.evidence.site.id == OUTSIDE_ID and report.evidence.time >= seen.time - FRESH
    }
    if not fresh:
        return []
    expected = [
        f.forecast for f in forecasts if f.instance in fresh and f.forecast is not None and is_clear(f)
    ]
    soonest = min(expected, key=lambda forecast: forecast.seconds, default=None)
    document = joined(list(fresh.values()), max(len(fresh), len(seen.workers)))
    return [replace(document, service=seen.service, version=seen.version, time=seen.time, forecast=soonest)]
