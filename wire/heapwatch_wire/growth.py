"""Whether the live bytes of an allocation site grow like a leak: the one growth test of the product.

The agent uses it for suspicion, the analyzer for verdicts. Input: the pushes of one site on each instance.

**What a series looks like.** The sampler takes a block of size s with probability p = 1 - exp(-s/R) and
weighs it s/p, so each sampled block adds a quantum q = s/p (R for small blocks, s for large ones). A leak
of G bytes is therefore a counting process of G/q expected samples: its error is a random walk with
variance q*G, not white noise around a line. A site that only turns its objects over walks as well, with
births and deaths; one that is busy swings around a level.

**What is tested.** Window minima ("floors") drop requests in flight and the teeth of garbage collection.
A line is fitted to the floors; its standard error is the largest of three, since each is right for another
kind of series and too small for the rest:
  - sampling: sqrt(6/5 * q*G)/T, least squares on a random walk (Durlauf and Phillips 1988);
  - residual: least squares with the residuals' autocorrelation, n * (1-r)/(1+r) effective floors;
  - walk: long-run variance of the detrended steps (Newey and West 1987); a step counts as one event.
A leak must be significant, and must look like a line that still goes on: the last third keeps a fair part
of the average rate, and the rate has not fallen significantly from the first third to the last, which is
how filling caches, warm-up and ramp-then-flat differ from it. The request rate, when given, enters the fit
as a covariate, so that growth with load is not taken for growth with time.

**Windows.** Everything since the warm-up, and its last half, quarter, ...: a steep leak that began a
minute ago is found in a short one, a slow leak in a long one.

All statistics are ratios: scaling bytes and the sampling interval together changes no decision.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from heapwatch_wire.evidence import Growth

Decision = Literal["leak", "suspicion", "stable", "learning"]
_RANK: dict[Decision, int] = {"learning": 0, "stable": 1, "suspicion": 2, "leak": 3}


@dataclass(frozen=True)
class Thresholds:
    """What it takes to be called a leak, and why.

    warmup: seconds of each process's life not judged; imports, pools and templates fill then.
    span: seconds that must be judged; shorter growth is often a burst or a cache of hot keys.
    points: pushes that must be judged, two for each of the six floors that a line needs.
    samples: new sampled blocks that growth must stand for; 10 against none expected is p < 1e-4.
    leak_z: growth over its standard error. One-sided p = 3e-5, so 5,000 sites of noise give 0.2 passes
        before the gates on shape.
    suspicion_z, suspicion_samples: enough to start looking for holders, not to accuse (p = 6e-3).
    ongoing: least rate of the last third over the average rate. A line gives 1; 1-exp watched for two
        time constants 0.44; ramp-then-flat 0.
    slowing_z: fall of the rate from first to last third over its standard error, at which growth is
        taken for saturating. A line fails this once in 15 looks and is found at the next.
    load_variation: coefficient of variation of the request rate from which it enters the fit.
    confidence: of the interval of the growth rate.
    """

    warmup: float = 30.0
    span: float = 75.0
    points: int = 12
    samples: float = 10.0
    leak_z: float = 4.0
    suspicion_z: float = 2.5
    suspicion_samples: float = 5.0
    ongoing: float = 0.4
    slowing_z: float = 1.5
    load_variation: float = 0.1
    confidence: float = 0.95


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Series:
    """One site on one instance.

    points: (Unix time, live bytes, live objects) at each push, in order of time; a push without a
        sample of the site is a zero point.
    interval: the sampler's mean bytes between samples.
    start: when the process started (default: the first point).
    load: (Unix time, requests per second) of the instance, in order of time; empty when unknown.
    """

    points: Sequence[tuple[float, float, float]]
    interval: float
    start: float | None = None
    load: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Finding:
    """What the test says. `growth` is the sum over current instances (None while learning)."""

    decision: Decision
    growth: Growth | None = None
    instances: int = 0
    growing: int = 0
    statistics: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Trend:
    """The line through the floors of one series in one window; rates in bytes per second."""

    end: float
    span: float
    slope: float
    error: float
    objects: float
    quantum: float
    thirds: tuple[float, float, float]

    @property
    def samples(self) -> float:
        return self.slope * self.span / self.quantum


def judge(instances: Sequence[Series], thresholds: Thresholds = THRESHOLDS) -> Finding:
    """The finding for one site over all `instances`: the most serious of all windows."""
    judged = [(s, _judged_points(s, thresholds)) for s in instances]
    judged = [
        (s, p) for s, p in judged if len(p) >= thresholds.points and p[-1][0] - p[0][0] >= thresholds.span
    ]
    if not judged:
        return _learning(instances, thresholds)
    best: Finding | None = None
    length = max(p[-1][0] - p[0][0] for _, p in judged)
    while length >= thresholds.span:
        trends = [t for s, p in judged if (t := _trend(s, _tail(p, length), thresholds)) is not None]
        if trends:
            finding = _decide(trends, thresholds)
            if best is None or _RANK[finding.decision] > _RANK[best.decision]:
                best = finding
        length /= 2
    return best if best is not None else _learning(instances, thresholds)


def _judged_points(series: Series, thresholds: Thresholds) -> Sequence[tuple[float, float, float]]:
    if not series.points:
        return ()
    start = series.points[0][0] if series.start is None else series.start
    return series.points[bisect_left(series.points, (start + thresholds.warmup,)) :]


def _tail(
    points: Sequence[tuple[float, float, float]], length: float
) -> Sequence[tuple[float, float, float]]:
    return points[bisect_left(points, (points[-1][0] - length,)) :]


def _learning(instances: Sequence[Series], thresholds: Thresholds) -> Finding:
    reason = (
        f"still learning: needs {thresholds.points} pushes over {thresholds.span:g} s"
        f" after {thresholds.warmup:g} s of warm-up"
    )
    return Finding("learning", None, len(instances), 0, {}, asdict(thresholds), (reason,))


def _trend(
    series: Series, points: Sequence[tuple[float, float, float]], thresholds: Thresholds
) -> _Trend | None:
    if len(points) < thresholds.points or points[-1][0] - points[0][0] < 0.9 * thresholds.span:
        return None
    times, floors, objects = _floors(points)
    span = points[-1][0] - points[0][0]
    quantum = _quantum(points, series.interval)
    load = _load_at(times, series.load, thresholds.load_variation)
    if load:
        floors = _without(floors, times, load)
    slope, residuals = _line(times, floors)
    error = max(
        math.sqrt(1.2 * quantum * abs(slope) * span) / span,
        _residual_error(times, residuals),
        _walk_error(times, floors),
    )
    third = len(times) // 3
    cuts = ((0, third + 1), (third, 2 * third + 1), (2 * third, len(times)))
    thirds = tuple(_line(times[a:b], floors[a:b])[0] for a, b in cuts)
    return _Trend(
        points[-1][0],
        span,
        slope,
        error,
        _line(times, objects)[0],
        quantum,
        (thirds[0], thirds[1], thirds[2]),
    )


def _floors(points: Sequence[tuple[float, float, float]]) -> tuple[list[float], list[float], list[float]]:
    """Mean time, least bytes and least objects of 6 to 24 runs of equally many points (a multiple of 3)."""
    count = max(6, min(24, len(points) // 9 * 3))
    bounds = [len(points) * i // count for i in range(count + 1)]
    chunks = [points[a:b] for a, b in itertools.pairwise(bounds)]
    times = [sum(p[0] for p in c) / len(c) for c in chunks]
    return times, [min(p[1] for p in c) for c in chunks], [min(p[2] for p in c) for c in chunks]


def _quantum(points: Sequence[tuple[float, float, float]], interval: float) -> float:
    """Bytes that one sampled block stands for, from the mean size of the site's blocks."""
    count = sum(p[2] for p in points)
    size = sum(p[1] for p in points) / count if count > 0 else 0.0
    if size <= 1e-9 * interval:
        return interval
    return size / -math.expm1(-size / interval)


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, list[float]]:
    """Least squares: slope and residuals."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0
    return slope, [b - mean_y - slope * (a - mean_x) for a, b in zip(x, y, strict=True)]


def _residual_error(x: Sequence[float], residuals: Sequence[float]) -> float:
    """Standard error of the slope for residuals that follow AR(1)."""
    count = len(x)
    square = sum(r * r for r in residuals)
    if square <= 0:
        return 0.0
    lagged = sum(a * b for a, b in itertools.pairwise(residuals)) / square
    correlation = min(0.9, max(0.0, lagged + (1 + 3 * lagged) / count))  # Marriott and Pope 1954
    inflation = (1 + correlation) / (1 - correlation)
    mean = sum(x) / count
    spread = sum((a - mean) ** 2 for a in x)
    return math.sqrt(square / (count - 2) / spread * inflation)


def _walk_error(x: Sequence[float], y: Sequence[float]) -> float:
    """Standard error of the drift of a random walk, from its steps' long-run variance."""
    steps = [b - a for a, b in itertools.pairwise(y)]
    mean = sum(steps) / len(steps)
    off = [s - mean for s in steps]
    variance = sum(o * o for o in off)
    covariance = sum(a * b for a, b in itertools.pairwise(off))
    longrun = max(variance + covariance, 0.25 * variance) * len(steps) / (len(steps) - 1)
    return math.sqrt(longrun) / (x[-1] - x[0])


def _load_at(times: Sequence[float], load: Sequence[tuple[float, float]], variation: float) -> list[float]:
    """Request rate at each floor (mean over its stretch of time); empty when unknown or steady."""
    if len(load) < 2:
        return []
    half = (times[-1] - times[0]) / (len(times) - 1) / 2
    rates = []
    for time in times:
        a, b = bisect_left(load, (time - half,)), bisect_left(load, (time + half,))
        near = load[a:b] or load[max(0, a - 1) : a + 1]
        rates.append(sum(r for _, r in near) / len(near))
    mean = sum(rates) / len(rates)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rates) / len(rates))
    return rates if mean > 0 and deviation > variation * mean else []


def _without(y: Sequence[float], x: Sequence[float], load: Sequence[float]) -> list[float]:
    """`y` less what the load explains beside a line in `x` (Frisch and Waugh 1933); more load, more bytes."""
    _, own = _line(x, load)
    _, rest = _line(x, y)
    square = sum(o * o for o in own)
    spread = sum((v - sum(load) / len(load)) ** 2 for v in load)
    if square < 1e-3 * spread:  # The load is itself a line: nothing can be told apart, so it explains all.
        _, own, rest, square = 0.0, [v - sum(load) / len(load) for v in load], list(y), spread
    weight = max(0.0, sum(o * r for o, r in zip(own, rest, strict=True)) / square)
    return [v - weight * (rate - load[0]) for v, rate in zip(y, load, strict=True)]


def _decide(trends: Sequence[_Trend], thresholds: Thresholds) -> Finding:
    """Pool the instances; a single one that proves the leak alone is enough."""
    pooled = _statistics(trends)
    alone = [_statistics([t]) for t in trends]
    chosen = pooled
    if not _is_leak(pooled, thresholds):
        chosen = next((s for s in alone if _is_leak(s, thresholds)), pooled)
    decision = _decision(chosen, thresholds)
    growing = sum(_decision(s, thresholds) in ("leak", "suspicion") for s in alone)
    if decision == "leak":
        growing = max(1, growing)
    reasons = _reasons(chosen, thresholds)
    return Finding(
        decision, _growth(trends, thresholds), len(trends), growing, chosen, asdict(thresholds), reasons
    )


def _statistics(trends: Sequence[_Trend]) -> dict[str, float]:
    slope = sum(t.slope for t in trends)
    error = math.sqrt(sum(t.error**2 for t in trends))
    first, _, last = (sum(t.thirds[i] for t in trends) for i in range(3))
    z = slope / error if error > 0 else math.copysign(math.inf, slope) if slope else 0.0
    return {
        "z": min(z, 1e6),
        "p": 0.5 * math.erfc(max(-30.0, min(z, 30.0)) / math.sqrt(2)),
        "samples": sum(t.samples for t in trends),
        "ongoing": last / slope if slope > 0 else 0.0,
        "slowing_z": (first - last) / (math.sqrt(6) * error) if error > 0 else 0.0,
        "span": max(t.span for t in trends),
    }


def _is_leak(s: Mapping[str, float], thresholds: Thresholds) -> bool:
    proved = s["z"] >= thresholds.leak_z and s["samples"] >= thresholds.samples
    return proved and s["ongoing"] >= thresholds.ongoing and s["slowing_z"] < thresholds.slowing_z


def _decision(s: Mapping[str, float], thresholds: Thresholds) -> Decision:
    if _is_leak(s, thresholds):
        return "leak"
    suspected = s["z"] >= thresholds.suspicion_z and s["samples"] >= thresholds.suspicion_samples
    return "suspicion" if suspected and s["ongoing"] >= thresholds.ongoing else "stable"


def _growth(trends: Sequence[_Trend], thresholds: Thresholds) -> Growth:
    """Sum over the instances that still report; of all when none does."""
    latest = max(t.end for t in trends)
    current = [t for t in trends if latest - t.end <= thresholds.span / 2]
    slope = sum(t.slope for t in current)
    margin = _normal_quantile(thresholds.confidence) * math.sqrt(sum(t.error**2 for t in current))
    objects = sum(t.objects for t in current)
    return Growth(slope, slope - margin, slope + margin, objects, thresholds.confidence)


def _normal_quantile(confidence: float) -> float:
    """Half-width, in standard errors, of the central interval of a normal distribution."""
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle / math.sqrt(2)) < confidence else (low, middle)
    return low


def _reasons(s: Mapping[str, float], thresholds: Thresholds) -> tuple[str, ...]:
    def line(passed: bool, yes: str, no: str) -> str:
        return yes if passed else no

    span = f"{s['span']:.0f} s"
    return (
        line(
            s["z"] >= thresholds.leak_z,
            f"growth is {s['z']:.1f} standard errors above zero over {span} (needs {thresholds.leak_z:g})",
            f"growth is {s['z']:.1f} standard errors from zero over {span} (needs {thresholds.leak_z:g})",
        ),
        line(
            s["samples"] >= thresholds.samples,
            f"about {s['samples']:.0f} new sampled blocks survived (needs {thresholds.samples:g})",
            f"only about {s['samples']:.0f} new sampled blocks survived (needs {thresholds.samples:g})",
        ),
        line(
            s["ongoing"] >= thresholds.ongoing,
            f"it still goes on: the last third grows at {s['ongoing']:.0%} of the average rate",
            f"it has stopped: the last third grows at {s['ongoing']:.0%} of the average rate",
        ),
        line(
            s["slowing_z"] < thresholds.slowing_z,
            "it grows like a line, not like a cache that fills up",
            f"it slows down like a cache that fills up ({s['slowing_z']:.1f} standard errors)",
        ),
    )
