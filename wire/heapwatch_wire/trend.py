"""The line through a noisy series: floors, slope, standard error, shape. Pure functions of lists.

Shared by the growth test's windows; see `heapwatch_wire.growth` for what they are used for.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import mul

Push = tuple[float, float, float]
"""Unix time, live bytes, live objects."""

FLOORS_MIN, FLOORS_MAX = 6, 24
PUSHES_PER_FLOOR = 2


@dataclass(frozen=True)
class Track:
    """Times, live bytes and live objects of pushes, or of runs of them."""

    times: Sequence[float]
    bytes: Sequence[float]
    objects: Sequence[float]

    @classmethod
    def of(cls, points: Sequence[Push]) -> Track:
        times, sizes, counts = zip(*points, strict=True) if points else ((), (), ())
        return cls(times, sizes, counts)

    def __len__(self) -> int:
        return len(self.times)

    def since(self, time: float) -> Track:
        """What isn't older than `time`."""
        return self.last(len(self) - bisect_left(self.times, time))

    def last(self, count: int) -> Track:
        """The newest `count`, or all when there are fewer."""
        first = max(0, len(self) - count)
        return Track(self.times[first:], self.bytes[first:], self.objects[first:])


@dataclass(frozen=True)
class Noise:
    """First-order autoregression around the trend: variance of the steps, coefficient in [0, 0.98].

    `longrun` is the variance per step in the long run (Newey and West 1987), for series that walk.
    """

    step_variance: float
    coefficient: float
    longrun: float


@dataclass(frozen=True)
class Line:
    """Least squares: slope per second, its standard error under the noise, and the slope of each third."""

    slope: float
    error: float
    thirds: tuple[float, float, float]


def floors(track: Track, run: int) -> Track:
    """Runs of `run` pushes each: mean time, least bytes, least objects.

    Counted from the newest back; an incomplete oldest run is left out.
    """
    starts = range(len(track) % run, len(track), run)
    return Track(
        [sum(track.times[i : i + run]) / run for i in starts],
        [min(track.bytes[i : i + run]) for i in starts],
        [min(track.objects[i : i + run]) for i in starts],
    )


def fit(x: Sequence[float], y: Sequence[float], noise: Noise) -> Line:
    """The line through (x, y) with its error under `noise`, and the slopes of overlapping thirds."""
    third = len(x) // 3
    cuts = ((0, third + 1), (third, 2 * third + 1), (2 * third, len(x)))
    first, second, last = (slope_of(x[a:b], y[a:b]) for a, b in cuts)
    return Line(slope_of(x, y), _slope_error(x, noise), (first, second, last))


def events(y: Sequence[float]) -> float:
    """How many steps upwards make the growth: (sum of steps)^2 / sum of squares, n for n equal ones.

    A container that doubles its storage never comes to 3, however often it does.
    """
    steps = [max(0.0, b - a) for a, b in itertools.pairwise(y)]
    square = sum(s * s for s in steps)
    return sum(steps) ** 2 / square if square > 0 else 0.0


def slope_of(x: Sequence[float], y: Sequence[float]) -> float:
    """Least-squares slope; 0 for fewer than two distinct x."""
    return _dot(_weights(x), y)


def _weights(x: Sequence[float]) -> list[float]:
    """w such that the slope is sum(w * y)."""
    mean = sum(x) / len(x)
    off = [v - mean for v in x]
    spread = _dot(off, off)
    return [o / spread if spread else 0.0 for o in off]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Sum of products, as far as the shorter one goes."""
    products: Iterator[float] = map(mul, a, b)
    return sum(products)


def noise_of(y: Sequence[float]) -> Noise:
    """The noise of `y` from its steps, so that slow trends and level shifts weigh little.

    AR(1) noise of coefficient r has steps with lag-1 autocorrelation -(1-r)/2: white noise gives -1/2,
    a random walk 0. The mean step (the trend) is taken out; the bias that this causes is put back.
    """
    steps = [b - a for a, b in itertools.pairwise(y)]
    mean = sum(steps) / len(steps)
    off = [s - mean for s in steps]
    square = _dot(off, off)
    if square <= 0:
        return Noise(0.0, 0.0, 0.0)
    lagged = _dot(off, off[1:]) / square + 1 / len(steps)
    variance = square / (len(steps) - 1)
    return Noise(variance, min(0.98, max(0.0, 1 + 2 * lagged)), _longrun(off))


def _longrun(off: Sequence[float]) -> float:
    """Long-run variance of centred steps with Bartlett weights, at least what white noise would leave."""
    lags = max(1, min(4, len(off) // 8))
    total = square = _dot(off, off)
    for lag in range(1, lags + 1):
        weight = 1 - lag / (lags + 1)
        total += 2 * weight * (_dot(off, off[lag:]) + square / len(off))
    return max(total, square / (2 * lags + 2)) / (len(off) - 1)


def _slope_error(x: Sequence[float], noise: Noise) -> float:
    """The larger of two standard errors: under AR(1), and as the drift of a random walk.

    AR(1): sqrt(sum over i, j of w_i w_j C(i-j)), C the autocovariance, in one pass. The walk guards
    against a coefficient that came out too small by chance, as it does from some dozen floors.
    """
    variance = noise.step_variance / (2 * (1 - noise.coefficient))
    total = carried = 0.0
    for weight in _weights(x):
        total += weight * weight + 2 * weight * carried
        carried = noise.coefficient * (carried + weight)
    walk = noise.longrun * (len(x) - 1) / (x[-1] - x[0]) ** 2
    return math.sqrt(max(walk, variance * total))


@dataclass(frozen=True)
class Rates:
    """Request rates that vary: `off` their mean, `own` less what a line in time explains of them, and whether
    that is enough to be told from time (else `own` is `off`)."""

    off: Sequence[float]
    own: Sequence[float]
    beside_time: bool


def varying_rates(x: Sequence[float], load: Sequence[tuple[float, float]], variation: float) -> Rates | None:
    """The rates of `load` at `x`; None for one that is steadier than `variation` (standard deviation over
    mean) or unknown. A rate that is nearly a line in time (R² over 0.9) can't be told from it."""
    rates = _rates_at(x, load)
    mean = sum(rates) / len(rates) if rates else 0.0
    off = [r - mean for r in rates]
    spread = _dot(off, off)
    if mean <= 0 or spread <= len(rates) * (variation * mean) ** 2:
        return None
    own = residuals(x, rates)
    beside_time = _dot(own, own) >= 0.1 * spread
    return Rates(off, own if beside_time else off, beside_time)


def without_load(
    x: Sequence[float], y: Sequence[float], load: Sequence[tuple[float, float]], variation: float
) -> list[float]:
    """`y` less what the request rate explains beside a line in `x` (Frisch and Waugh 1933).

    More load can only mean more bytes. A rate that can't be told from time gets all that it can explain; one
    that doesn't vary (see `varying_rates`) is left out.
    """
    rates = varying_rates(x, load, variation)
    if rates is None:
        return list(y)
    rest = residuals(x, y) if rates.beside_time else y
    weight = max(0.0, _dot(rates.own, rest) / _dot(rates.own, rates.own))
    return [v - weight * o for v, o in zip(y, rates.off, strict=True)]


def _rates_at(x: Sequence[float], load: Sequence[tuple[float, float]]) -> list[float]:
    """Mean rate over each floor's stretch of time, or the nearest known one before it."""
    if len(load) < 2:
        return []
    half = (x[-1] - x[0]) / (len(x) - 1) / 2
    rates = []
    for time in x:
        a, b = bisect_left(load, (time - half,)), bisect_left(load, (time + half,))
        near = load[a:b] or load[max(0, a - 1) : a + 1] or load[-1:]
        rates.append(sum(r for _, r in near) / len(near))
    return rates


def residuals(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """`y` less its least-squares line in `x`."""
    slope, mean_x, mean_y = slope_of(x, y), sum(x) / len(x), sum(y) / len(y)
    return [b - mean_y - slope * (a - mean_x) for a, b in zip(x, y, strict=True)]


def saturation(x: Sequence[float], y: Sequence[float], coefficient: float, variance: float) -> float:
    """How much better a saturating curve explains `y` than a line does, in units of log-likelihood.

    Curves: 1-exp, log, ramp-then-flat. Against them: a line, or one that grows steeper once (a leak that
    began late), or one on top of a start-up burst. Models pay for their parameters as in Akaike's
    criterion. Positive: the series saturates. All are fitted after whitening by the noise's autoregressive
    `coefficient`; `variance` is the least that one floor can vary, the sampling error.
    """
    times = [(v - x[0]) / (x[-1] - x[0]) for v in x]
    whiten = _whitener(coefficient)
    level = _unit(whiten([1.0] * len(x)))
    ascent = _unit(_without(level, whiten(times)))
    about = _without(level, whiten(y))
    rest = _without(ascent, about)
    square, straight = _dot(about, about), _dot(rest, rest)
    # A hinge may only add: a line that bends down is no line but a curve that saturates.
    hinges = (_unit(_without(ascent, _without(level, whiten(c)))) for c in _hinges(times))
    bent = straight - max(max(0.0, _dot(rest, hinge)) ** 2 for hinge in hinges)
    curves = (_unit(_without(level, whiten(c))) for c in _saturating(times))
    curved = square - max(_dot(about, curve) ** 2 for curve in curves)
    scale = max(variance, min(straight, bent, curved) / max(1, len(x) - 4))
    if scale <= 0:
        return 0.0
    return min(straight, bent + 4 * scale) / (2 * scale) - (curved + 2 * scale) / (2 * scale)


def _saturating(times: Sequence[float]) -> Iterator[list[float]]:
    """Curves over [0, 1] that have lost half their rate by the end, or all of it before."""
    for constant in (0.05, 0.1, 0.2, 0.35, 0.6, 1.0):
        yield [-math.expm1(-t / constant) for t in times]
    for scale in (0.003, 0.01, 0.03, 0.1, 0.3):
        yield [math.log1p(t / scale) for t in times]
    for knee in (0.1, 0.25, 0.4, 0.55, 0.7, 0.8):
        yield [min(t, knee) for t in times]


def _hinges(times: Sequence[float]) -> Iterator[list[float]]:
    """What may come beside a line: a change of its slope, or a burst that is over soon after the start."""
    for constant in (0.01, 0.03, 0.08):
        yield [-math.expm1(-t / constant) for t in times]
    for knee in (0.1, 0.2, 0.35, 0.5, 0.65, 0.8):
        yield [max(0.0, t - knee) for t in times]


def _whitener(coefficient: float) -> Callable[[Sequence[float]], list[float]]:
    """Prais and Winsten's transform: AR(1) noise becomes white, the first value keeps its weight."""
    first = math.sqrt(1 - coefficient * coefficient)

    def whiten(values: Sequence[float]) -> list[float]:
        return [first * values[0]] + [b - coefficient * a for a, b in itertools.pairwise(values)]

    return whiten


def _unit(values: Sequence[float]) -> list[float]:
    """`values` at length 1; zeros for what has next to none."""
    square = _dot(values, values)
    scale = 1 / math.sqrt(square) if square > 1e-12 else 0.0
    return [scale * v for v in values]


def _without(unit: Sequence[float], values: Sequence[float]) -> list[float]:
    """`values` made orthogonal to `unit`."""
    part = _dot(values, unit)
    return [v - part * u for v, u in zip(values, unit, strict=True)]
