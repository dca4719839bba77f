"""When memory meets its limit: a robust slope on floors, and the first passage of a drifting random walk.

Memory is cut into bins and each bin's minimum, its floor, is kept, so that garbage-collection sawteeth don't
look like growth. The floors are taken for a walk with drift m, seen through noise (Harvey 1989: the local
level model): how much of their movement is walk and how much noise is weighed by likelihood, so that a walk
and a noisy straight line each get the error they deserve. Heavy tails, as of growth in bursts, leave fewer
degrees of freedom.

For a walk with drift m and variance v the time to rise by d is inverse Gaussian with mean d/m and shape d²/v
(Schrödinger 1915; Folks and Chhikara 1978). The forecast draws m and v from their errors and the time from
that law; m <= 0 never arrives. What stands above the floors (the sawtooth's height) is taken off d first,
since it is the peak that meets the limit.

How far back the slope may look is found from the newest floors backwards: older ones are added as long as
their own slope doesn't contradict that of all newer ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.evidence import Forecast, Growth
from scipy import fft, stats

from .observations import FloatArray, Instance, Observations, Series

BINS = 120
"""Floors kept of the longest span: pairwise slopes cost their square."""
SHORTEST = 12
"""Floors below which no slope is given."""
PER_FLOOR = 3
"""Points of which a floor is the minimum, at least."""
WALKS: FloatArray = np.array([0.0, *np.geomspace(1e-5, 0.5, 18), 0.75, 0.9, 1.0])
"""Shares of the variance of a step that may be the walk's; the rest is noise about its level."""
DRAWS = 2000
CLEAR = 0.5
FARTHEST = 90 * 86400.0
"""Seconds; a forecast beyond it is none."""
CONFIDENCE = 0.8
SLOPE_CONFIDENCE = 0.95
CHANGE = 0.05
"""Chance at which older growth is taken for another than the newer where it isn't. At 0.2 random growth is
cut into pieces, at 0.02 a cache that slows down is taken for one line (benchmarks/forecasts.py)."""
DOUBT = 1.3
"""Factor on errors: the span was chosen by looking at it, and growth may change. Without it intervals at 80%
hold in 72% of walks and 68% of real series, with it in 80% and 74% (benchmarks/forecasts.py)."""


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
    floors = _floors(times, values)
    chosen: Trend | None = None
    newer = 0
    for count in _spans(len(floors[0])):
        if chosen is not None and _contradicts(_fit(*(f[-count:-newer] for f in floors)), chosen):
            break
        chosen, newer = _fit(*(f[-count:] for f in floors)), count
    return chosen


def _contradicts(older: Trend, newer: Trend) -> bool:
    """Whether two slopes differ more than their errors explain (Welch's test)."""
    error = math.hypot(older.error, newer.error)
    least = float(stats.t.ppf(1 - CHANGE / 2, min(older.freedom, newer.freedom)))
    return abs(older.slope - newer.slope) > least * error


def to_limit(found: Trend, limit: float, confidence: float = CONFIDENCE, seed: int = 0) -> Forecast | None:
    """When `found` meets `limit` bytes; None when it most probably doesn't within FARTHEST."""
    current = found.level + found.height
    distance = limit - current
    if distance <= 0:
        return Forecast(current, limit, 0.0, 0.0, 0.0, confidence)
    rng = np.random.default_rng(seed)
    # One unknown scale stands over both: a variance that came out too small makes drift look too sure.
    scale = found.freedom / rng.chisquare(found.freedom, DRAWS)
    drift = found.slope + found.error * np.sqrt(scale) * rng.standard_normal(DRAWS)
    arrives = drift > distance / FARTHEST
    seconds = np.full(DRAWS, np.inf)
    shape = distance**2 / np.maximum(found.variance * scale[arrives], 1e-9)
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
    """When the first instance meets its limit if a leak goes on; None when no instance has a limit, or when
    what was taken for a leak shrinks.

    `growth` is the leak's over `growing` instances, and `scale` what it is multiplied by for the sites that
    belong to it. Workers of one host with a container limit fill it together.
    """
    if growth.bytes_per_second <= 0 or scale <= 0:
        return None
    found = []
    for instance in seen.workers:
        current, limit, sharing = instance.rss_bytes or 0.0, instance.limit_bytes or memory_limit, 1
        container = seen.gauge("container.memory.working_set", instance.id)
        if instance.limit_bytes and container is not None:
            current = float(container.values[-1])
            sharing = sum(i.host == instance.host for i in seen.workers)
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
    """Numbers of newest floors to try, shortest first, each longer by a third at least."""
    spans: list[int] = []
    length = float(SHORTEST)
    while 4 * length <= 3 * count:
        spans.append(int(length))
        length *= 1.5
    return [*spans, count] if count >= SHORTEST else []


def _fit(times: FloatArray, floors: FloatArray, peaks: FloatArray) -> Trend:
    span = float(times[-1] - times[0])
    found = _drift(np.diff(floors))
    step = span / (len(floors) - 1)
    slope = found.mean / step
    path = _levels(floors - slope * (times - times[-1]), found.gain)
    level = float(path[-1])
    height = max(0.0, float(np.quantile(peaks - slope * (times - times[-1]) - path, 0.95)))
    doubt = DOUBT * found.error / step
    return Trend(slope, doubt, found.freedom, level, height, DOUBT**2 * found.walk / step, span)


@dataclass(frozen=True)
class _Drift:
    """Of steps from floor to floor: their `mean` and its standard `error` with `freedom` degrees of freedom,
    variance of the `walk` in a step, and the `gain` by which a floor moves the level."""

    mean: float
    error: float
    freedom: int
    walk: float
    gain: float


def _drift(steps: FloatArray) -> _Drift:
    """The drift of a walk that is seen through white noise (Harvey 1989, the local level model).

    Steps of such a series have the covariance walk + noise * (2 on, -1 beside the diagonal), which the sine
    transform makes diagonal. How much of them is walk isn't known: all WALKS are weighed by their likelihood,
    restricted for the mean that is estimated (Patterson and Thompson 1971).
    """
    count = len(steps)
    wave = 1 - np.cos(np.pi * np.arange(1, count + 1) / (count + 1))
    values: FloatArray = np.asarray(fft.dst(steps, 1, norm="ortho"))
    ones: FloatArray = np.asarray(fft.dst(np.ones(count), 1, norm="ortho"))
    own = WALKS[:, None] + (1 - WALKS[:, None]) * wave
    information = (ones**2 / own).sum(axis=1)
    means = (ones * values / own).sum(axis=1) / information
    squares = ((values - means[:, None] * ones) ** 2 / own).sum(axis=1) / (count - 1)
    squares = np.maximum(squares, 1e-12)
    likelihood = -0.5 * ((count - 1) * np.log(squares) + np.log(own).sum(axis=1) + np.log(information))
    weights = np.exp(likelihood - likelihood.max())
    weights /= weights.sum()
    mean = float(weights @ means)
    error = math.sqrt(float(weights @ (squares / information + (means - mean) ** 2)))
    walk, noise = float(weights @ (WALKS * squares)), float(weights @ ((1 - WALKS) * squares)) / 2
    ratio = walk / max(noise, 1e-12)
    gain = (math.sqrt(ratio**2 + 4 * ratio) - ratio) / 2
    return _Drift(mean, error, _freedom(steps - steps.mean()), walk, gain)


def _freedom(off: FloatArray) -> int:
    """Degrees of freedom of the variance of `off`: few where few large steps make most of it."""
    square = float(np.mean(off**2))
    peaked = float(np.mean(off**4)) / square**2 if square > 0 else 3.0
    return int(np.clip(2 * len(off) / max(peaked - 1, 1e-9), 2, len(off) - 1))


def _levels(values: FloatArray, gain: float) -> FloatArray:
    """The level at each time: a mean in which older values weigh less by (1 - gain) a step."""
    ages = np.arange(len(values))
    weights = (1 - gain) ** ages
    path: FloatArray = np.convolve(values, weights)[: len(values)] / np.cumsum(weights)
    return path
