"""The line through a noisy series: floors, slope, standard error, shape. Pure functions of lists.

Shared by the growth test's windows; see `heapwatch_wire.growth` for what they are used for.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Push = tuple[float, float, float]
"""Unix time, live bytes, live objects."""

FLOORS_MIN, FLOORS_MAX = 6, 24
PUSHES_PER_FLOOR = 2


@dataclass(frozen=True)
class Floors:
    """Runs of equally many pushes: mean time, least bytes, least objects of each."""

    times: list[float]
    bytes: list[float]
    objects: list[float]

    def last(self, count: int) -> Floors:
        return Floors(self.times[-count:], self.bytes[-count:], self.objects[-count:])


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


def floors(points: Sequence[Push], run: int) -> Floors:
    """Minima of `run` pushes each, counted from the newest back; an incomplete oldest run is left out."""
    first = len(points) % run
    runs = [points[i : i + run] for i in range(first, len(points), run)]
    return Floors(
        [sum(p[0] for p in r) / run for r in runs],
        [min(p[1] for p in r) for r in runs],
        [min(p[2] for p in r) for r in runs],
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
    weights = _weights(x)
    return sum(w * v for w, v in zip(weights, y, strict=True))


def _weights(x: Sequence[float]) -> list[float]:
    """w such that the slope is sum(w * y)."""
    mean = sum(x) / len(x)
    spread = sum((v - mean) ** 2 for v in x)
    return [(v - mean) / spread if spread else 0.0 for v in x]


def noise_of(y: Sequence[float]) -> Noise:
    """The noise of `y` from its steps, so that slow trends and level shifts weigh little.

    AR(1) noise of coefficient r has steps with lag-1 autocorrelation -(1-r)/2: white noise gives -1/2,
    a random walk 0. The mean step (the trend) is taken out; the bias that this causes is put back.
    """
    steps = [b - a for a, b in itertools.pairwise(y)]
    mean = sum(steps) / len(steps)
    off = [s - mean for s in steps]
    square = sum(o * o for o in off)
    if square <= 0:
        return Noise(0.0, 0.0, 0.0)
    lagged = sum(a * b for a, b in itertools.pairwise(off)) / square + 1 / len(steps)
    variance = square / (len(steps) - 1)
    return Noise(variance, min(0.98, max(0.0, 1 + 2 * lagged)), _longrun(off))


def _longrun(off: Sequence[float]) -> float:
    """Long-run variance of centred steps with Bartlett weights, at least what white noise would leave."""
    lags = max(1, min(4, len(off) // 8))
    total = square = sum(o * o for o in off)
    for lag in range(1, lags + 1):
        weight = 1 - lag / (lags + 1)
        covariance = sum(a * b for a, b in zip(off, off[lag:], strict=False))
        total += 2 * weight * (covariance + square / len(off))
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


def without_load(
    x: Sequence[float], y: Sequence[float], load: Sequence[tuple[float, float]], variation: float
) -> list[float]:
    """`y` less what the request rate explains beside a line in `x` (Frisch and Waugh 1933).

    More load can only mean more bytes. A rate that is nearly a line in time (R² over 0.9) can't be told
    from time: it gets all that it can explain. A rate steadier than `variation` (standard deviation over
    mean) is left out.
    """
    rates = _rates_at(x, load)
    mean = sum(rates) / len(rates) if rates else 0.0
    off = [r - mean for r in rates]
    spread = sum(o * o for o in off)
    if mean <= 0 or spread <= len(rates) * (variation * mean) ** 2:
        return list(y)
    own, rest = residuals(x, rates), residuals(x, y)
    if sum(o * o for o in own) < 0.1 * spread:
        own, rest = off, list(y)
    square = sum(o * o for o in own)
    weight = max(0.0, sum(o * r for o, r in zip(own, rest, strict=True)) / square)
    return [v - weight * o for v, o in zip(y, off, strict=True)]


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
    target, unit, line = whiten(y), whiten([1.0] * len(x)), whiten(times)
    straight = _misfit(target, [unit, line])
    bent = min(_misfit(target, [unit, line, whiten(c)]) for c in _hinges(times))
    curved = min(_misfit(target, [unit, whiten(c)]) for c in _saturating(times))
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


def _misfit(target: Sequence[float], columns: Sequence[Sequence[float]]) -> float:
    """Sum of squares left when `target` is fitted by `columns`, which are made orthogonal one by one.

    A third column may only add: a line that bends down is no line but a curve that saturates.
    """
    rest = list(target)
    basis: list[list[float]] = []
    for column in columns:
        own = list(column)
        for b in basis:
            own = _take_out(own, b)
        if sum(v * v for v in own) > 1e-12:
            basis.append(own)
            if len(basis) < 3 or sum(v * d for v, d in zip(rest, own, strict=True)) > 0:
                rest = _take_out(rest, own)
    return sum(v * v for v in rest)


def _take_out(values: Sequence[float], direction: Sequence[float]) -> list[float]:
    factor = sum(v * d for v, d in zip(values, direction, strict=True)) / sum(d * d for d in direction)
    return [v - factor * d for v, d in zip(values, direction, strict=True)]
