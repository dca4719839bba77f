"""When memory meets its limit: a robust slope on floors, and the first passage of a drifting random walk.

Memory is cut into bins and each bin's minimum, its floor, is kept, so that garbage-collection sawteeth don't
look like growth. The slope is Theil and Sen's median of pairwise slopes. Its error comes from the long-run
variance of the floors' increments, `v` bytes² per second, estimated by sums over blocks (so that a walk and
a noisy straight line each get the error they deserve): standard error sqrt(v / T) over a span T, with
Student's t for the few blocks there are.

For a walk with drift m and variance v the time to rise by d is inverse Gaussian with mean d/m and shape d²/v
(Schrödinger 1915; Folks and Chhikara 1978). The forecast draws m from the slope's error and the time from
that law; m <= 0 never arrives. What stands above the floors (the sawtooth's height) is taken off d first,
since it is the peak that meets the limit.

How far back the slope may look is chosen by intersecting confidence intervals: from the shortest recent span
to the longest, as long as all their intervals have a point in common (Goldenshluger and Nemirovski 1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.evidence import Forecast, Growth
from scipy import stats

from .observations import FloatArray, Instance, Observations, Series

BINS = 120
"""Floors kept of the longest span: pairwise slopes cost their square."""
SHORTEST = 12
"""Floors below which no slope is given."""
PER_FLOOR = 3
"""Points of which a floor is the minimum, at least."""
DRAWS = 2000
CLEAR = 0.5
FARTHEST = 90 * 86400.0
"""Seconds; a forecast beyond it is none."""
CONFIDENCE = 0.8
SLOPE_CONFIDENCE = 0.95
MATCH_CONFIDENCE = 0.5
"""Of the intervals that must have a point in common. Wider ones let old quiet hours dilute new growth: after
a late start 80% intervals held in 68% of series at 0.95, in 98% at 0.5 (benchmarks/forecasts.py)."""


@dataclass(frozen=True)
class Trend:
    """Growth of a series: `slope` bytes/s with standard `error` and `freedom` degrees of freedom.

    `level` is the floor line at the end, `height` what peaks stand above it, `variance` the long-run
    variance of increments in bytes²/s, `span` the seconds judged.
    """

    slope: float
    error: float
    freedom: int
    level: float
    height: float
    variance: float
    span: float

    def interval(self, confidence: float = SLOPE_CONFIDENCE) -> tuple[float, float]:
        """Bounds of the slope at `confidence`."""
        reach = self.error * float(stats.t.ppf(0.5 + confidence / 2, self.freedom))
        return self.slope - reach, self.slope + reach


def trend(times: FloatArray, values: FloatArray) -> Trend | None:
    """The recent trend of `values`; None when there are too few points for one."""
    bin_times, floors, peaks = _floors(times, values)
    chosen: Trend | None = None
    low, high = -np.inf, np.inf
    for count in _spans(len(floors)):
        found = _fit(bin_times[-count:], floors[-count:], peaks[-count:])
        a, b = found.interval(MATCH_CONFIDENCE)
        low, high = max(low, a), min(high, b)
        if low > high:
            break
        chosen = found
    return chosen


def to_limit(found: Trend, limit: float, confidence: float = CONFIDENCE, seed: int = 0) -> Forecast | None:
    """When `found` meets `limit` bytes; None when it most probably doesn't within FARTHEST."""
    current = found.level + found.height
    distance = limit - current
    if distance <= 0:
        return Forecast(current, limit, 0.0, 0.0, 0.0, confidence)
    rng = np.random.default_rng(seed)
    drift = found.slope + found.error * rng.standard_t(found.freedom, DRAWS)
    arrives = drift > distance / FARTHEST
    seconds = np.full(DRAWS, np.inf)
    shape = distance**2 / max(found.variance, 1e-9)
    seconds[arrives] = rng.wald(distance / drift[arrives], shape)
    low, middle, high = (
        float(q)
        for q in np.quantile(seconds, [0.5 - confidence / 2, 0.5, 0.5 + confidence / 2], method="nearest")
    )
    if middle > FARTHEST:
        return None
    return Forecast(current, limit, middle, low, high if np.isfinite(high) else None, confidence)


def forecasts(seen: Observations, memory_limit: float = 0.0, warmup: float = 0.0) -> list[InstanceForecast]:
    """Growth of each instance's RSS and when it meets its limit.

    Where a container sets the limit, the container's working set is what must fit, whoever fills it.
    `memory_limit` stands in for instances that report none; 0 means unknown. The first `warmup` seconds of a
    process are not judged.
    """
    found = [_instance_forecast(seen, i, memory_limit, i.started + warmup) for i in seen.instances]
    return [f for f in found if f is not None]


def is_clear(forecast: InstanceForecast) -> bool:
    """Whether growth is known to within CLEAR of itself."""
    return forecast.high - forecast.low < 2 * CLEAR * forecast.bytes_per_second


def leak_forecast(
    seen: Observations, growth: Growth, scale: float, growing: int, memory_limit: float = 0.0
) -> Forecast | None:
    """When the first instance meets its limit if a leak goes on; None when no instance has a limit.

    `growth` is the leak's over `growing` instances, and `scale` what it is multiplied by for the sites that
    belong to it. Instances of one host with a container limit fill it together.
    """
    found = []
    for instance in seen.instances:
        current, limit, sharing = instance.rss_bytes or 0.0, instance.limit_bytes or memory_limit, 1
        container = seen.gauge("container.memory.working_set", instance.id)
        if instance.limit_bytes and container is not None:
            current = float(container.values[-1])
            sharing = sum(i.host == instance.host for i in seen.instances)
        if not limit or not current:
            continue
        part = scale * min(1.0, sharing / growing)
        distance = max(0.0, limit - current)
        rates = [growth.bytes_per_second * part, growth.high * part, growth.low * part]
        middle, low, high = (distance / r if r > 0 else np.inf for r in rates)
        if np.isfinite(middle):
            until = float(high) if np.isfinite(high) else None
            found.append(Forecast(current, limit, float(middle), float(low), until, growth.confidence))
    return min(found, key=lambda f: f.seconds, default=None)


def _instance_forecast(
    seen: Observations, instance: Instance, memory_limit: float, since: float
) -> InstanceForecast | None:
    rss = seen.gauge("process.memory.usage", instance.id)
    growth = None if rss is None else _trend_of(rss, since)
    if growth is None:
        return None
    judged, limit = growth, instance.limit_bytes or memory_limit
    container = seen.gauge("container.memory.working_set", instance.id)
    if instance.limit_bytes and container is not None:
        judged = _trend_of(container, since) or growth
    low, high = growth.interval()
    forecast = to_limit(judged, limit) if limit else None
    return InstanceForecast(instance.id, growth.slope, low, high, forecast)


def _trend_of(series: Series, since: float) -> Trend | None:
    judged = series.times >= since
    return trend(series.times[judged], series.values[judged])


def _floors(times: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Time, minimum and maximum of each bin; bins hold PER_FLOOR points or more, at most BINS of them."""
    size = max(PER_FLOOR, -(-len(times) // BINS))
    usable = len(times) // size * size
    if usable == 0:
        return times[:0], values[:0], values[:0]
    # The newest points are kept whole; what doesn't fill a bin is cut at the old end.
    bins_t, bins_v = times[-usable:].reshape(-1, size), values[-usable:].reshape(-1, size)
    return bins_t.mean(axis=1), bins_v.min(axis=1), bins_v.max(axis=1)


def _spans(count: int) -> list[int]:
    """Numbers of newest floors to try, shortest first, each half as long again."""
    spans: list[int] = []
    length = float(SHORTEST)
    while length < count:
        spans.append(int(length))
        length *= 1.5
    return [*spans, count] if count >= SHORTEST else []


def _fit(times: FloatArray, floors: FloatArray, peaks: FloatArray) -> Trend:
    slope = _median_slope(times, floors)
    line = slope * (times - times[-1])
    level = float(np.median(floors - line))
    height = max(0.0, float(np.quantile(peaks - line - level, 0.95)))
    span = float(times[-1] - times[0])
    variance, freedom = _long_run_variance(floors - line, span)
    error = float(np.sqrt(variance / span))
    return Trend(slope, error, freedom, level, height, variance, span)


def _median_slope(times: FloatArray, values: FloatArray) -> float:
    """Median of the slopes between all pairs (Theil 1950, Sen 1968)."""
    older, newer = np.triu_indices(len(times), 1)
    return float(np.median((values[newer] - values[older]) / (times[newer] - times[older])))


def _long_run_variance(residuals: FloatArray, span: float) -> tuple[float, int]:
    """Variance per second of the sum of increments, from blocks of them; degrees of freedom.

    Blocks as long as the square root of the series hold a sawtooth's ups and downs together, and leave
    enough of them to estimate a variance from.
    """
    increments = np.diff(residuals)
    length = max(1, round(len(increments) ** 0.5))
    blocks = len(increments) // length
    sums = increments[-blocks * length :].reshape(blocks, length).sum(axis=1)
    seconds = span / len(increments) * length
    # Neighbouring sums share their end point when noise stands around a line; one point per block remains.
    return float(np.mean(sums**2) / seconds), max(2, blocks - 1)
