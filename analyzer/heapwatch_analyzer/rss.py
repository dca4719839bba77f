"""Whether the resident memory of a process grows without end, which alone says nothing of a leak.

Caches fill and load rises for hours, and nothing in RSS tells that from growth without end: it is called
growth when it has gone on for a day, or when at its rate the limit is met within one.
"""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.daily import DAY
from heapwatch_wire.growth import Series, Thresholds, judge

from .observations import FloatArray, Observations, request_rates

PAGE = 4096.0


def growing_instances(
    seen: Observations, thresholds: Thresholds, expected: Sequence[InstanceForecast]
) -> set[str]:
    """The instances whose RSS grows; `expected` tells when they meet their limits."""
    found = set()
    near = {f.instance for f in expected if f.forecast is not None and f.forecast.seconds < DAY}
    for instance in seen.instances:
        rss = seen.gauge("process.memory.usage", instance.id)
        if rss is None:
            continue
        load = request_rates(seen, instance.id)
        long = rss.times[-1] - rss.times[0] >= DAY
        if (long or instance.id in near) and rss_grows(
            rss.times, rss.values, instance.started, thresholds, load
        ):
            found.add(instance.id)
    return found


def rss_grows(
    times: FloatArray,
    values: FloatArray,
    started: float,
    thresholds: Thresholds,
    load: Sequence[tuple[float, float]] = (),
) -> bool:
    """Whether `values`, bytes of RSS, pass the test of allocation sites; a page counts as a sample."""
    points = [(t, v, v / PAGE) for t, v in zip(times.tolist(), values.tolist(), strict=True)]
    return judge([Series(points, PAGE, started, load)], thresholds).decision == "leak"
