"""Whether the resident memory of a process grows without end, which alone says nothing of a leak."""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_wire.growth import Series, Thresholds, judge

from .observations import FloatArray, Observations, request_rates

PAGE = 4096.0


def growing_instances(seen: Observations, thresholds: Thresholds) -> set[str]:
    """The instances whose RSS passes the growth test."""
    found = set()
    for instance in seen.instances:
        rss = seen.gauge("process.memory.usage", instance.id)
        if rss is None:
            continue
        load = request_rates(seen, instance.id)
        if rss_grows(rss.times, rss.values, instance.started, thresholds, load):
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
