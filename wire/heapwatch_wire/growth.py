"""Whether the live bytes of an allocation site grow like a leak: the one growth test of the product.

The agent uses it for suspicion, the analyzer for verdicts. Input: the pushes of one site on each instance.

**What a series looks like.** The sampler takes a block of size s with probability p = 1 - exp(-s/R) and
weighs it s/p, so each sampled block adds a quantum q = s/p (R for small blocks, s for large ones). A leak
of G bytes is therefore a counting process of G/q expected samples: its error is a random walk with
variance q*G, not white noise around a line. A site that only turns its objects over walks as well, with
births and deaths; one that is busy swings around a level.

**What is tested.** Window minima ("floors") drop requests in flight and the teeth of garbage collection.
A line is fitted to the floors; its standard error is the larger of two:
  - sampling: sqrt(6/5 * q*G) over the time, least squares on a random walk (Durlauf and Phillips 1988);
  - noise: AR(1) around the trend, its coefficient and size taken from the steps between floors, before the
    window too. It covers busy sites (white), slow ones (effective sample size) and turnover (random walk).
    A container that resizes makes one step, so it counts as one event.
A leak must be significant and must go on like a line: the last third keeps a fair part of the average
rate; the rate has not fallen significantly from the first third to the last; and over the whole history a
line, or one that began late, explains the floors better than any saturating curve (1-exp, log,
ramp-then-flat). That is how filling caches and warm-up differ. The history begins with the process, for
what fills is steepest then; and the younger the process, the more evidence is asked, for the more of what
grows in it still fills. A steep leak gives that evidence at once, a slow one later. The request rate, when
given, enters the fit as a covariate, so that growth with load is not taken for growth with time; once two
days were seen, what comes back each day at the same hour is taken out.

**Windows.** Everything since the warm-up, and its last half, quarter, ...: a steep leak that began a
minute ago is found in a short one, a slow leak in a long one. The rate that is told comes from the longest
window that the shorter ones don't contradict: a leak that began late isn't diluted by what came before.

**Many sites.** `discoveries` keeps the share of wrong ones among the leaks of a service at a given rate.

All statistics are ratios: scaling bytes and the sampling interval together changes no decision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from typing import Literal

from heapwatch_wire import trend
from heapwatch_wire.daily import without_day
from heapwatch_wire.evidence import Growth
from heapwatch_wire.trend import Push, Track

Decision = Literal["leak", "suspicion", "stable", "learning"]
_RANK: dict[Decision, int] = {"learning": 0, "stable": 1, "suspicion": 2, "leak": 3}


@dataclass(frozen=True)
class Thresholds:
    """What it takes to be called a leak, and why.

    warmup: seconds of each process's life not judged; imports, pools and templates fill then.
    span: seconds that must be judged; shorter growth is often a burst or a cache of hot keys.
    points: pushes that must be judged, two for each of the six floors that a line needs.
    samples: new sampled blocks that growth must stand for; 10 against none expected is p < 1e-4.
    events: steps that must make the growth, large ones counting for more; a container that doubles its
        storage again and again makes less than 3.
    leak_z: growth over its standard error, as a normal variate; one-sided p = 7e-5 at each look.
    false_discovery_rate: of leaks among all sites of a service, see `discoveries`.
    suspicion_z, suspicion_samples: enough to start looking for holders, not to accuse (p = 6e-3).
    ongoing: least rate of the last third over the average rate. A line gives 1; 1-exp watched for two
        time constants 0.44; ramp-then-flat 0.
    slowing_z: fall of the rate from first to last third over its standard error, at which growth is
        taken for saturating. A line fails this once in 15 looks and is found at the next.
    saturation: log-likelihood of the best saturating curve less that of a line, over the whole history,
        below which growth is a line: -1 asks that the line be e times likelier, parameters paid for.
    maturity: seconds of a process's life until which a line must be likelier still, by the factor
        maturity / age: what fills does so early, so that the odds against a leak fall with age.
    load_variation: coefficient of variation of the request rate from which it enters the fit.
    confidence: of the interval of the growth rate.
    """

    warmup: float = 30.0
    span: float = 75.0
    points: int = 12
    samples: float = 10.0
    events: float = 3.2
    leak_z: float = 3.8
    false_discovery_rate: float = 0.05
    suspicion_z: float = 2.5
    suspicion_samples: float = 5.0
    ongoing: float = 0.4
    slowing_z: float = 1.5
    saturation: float = -1.0
    maturity: float = 3000.0
    load_variation: float = 0.1
    confidence: float = 0.95


THRESHOLDS = Thresholds()

MATCH = 0.5
"""Confidence of the intervals of rates by which windows are compared; wider ones let quiet times dilute."""


@dataclass(frozen=True)
class Series:
    """One site on one instance.

    points: (Unix time, live bytes, live objects) at each push, in order of time; a push without a
        sample of the site is a zero point.
    interval: the sampler's mean bytes between samples.
    start: when the process started (default: the first point).
    load: (Unix time, requests per second) of the instance, in order of time; empty when unknown.
    """

    points: Sequence[Push]
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


class _Judged:
    """A series, its points after the warm-up, and its shape over the whole history."""

    def __init__(self, series: Series, thresholds: Thresholds) -> None:
        first = series.points[0][0] if series.points else 0.0
        start = first if series.start is None else series.start
        self.series = series
        self.thresholds = thresholds
        self.whole = Track.of(without_day(series.points))
        self.track = self.whole.since(start + thresholds.warmup)
        self.age = series.points[-1][0] - start if series.points else 0.0

    @cached_property
    def saturation(self) -> float:
        """Log-likelihood by which a saturating curve beats a line over the whole history, with warm-up."""
        series, whole = self.series, self.whole
        floors = trend.floors(whole, max(trend.PUSHES_PER_FLOOR, len(whole) // trend.FLOORS_MAX))
        level = trend.without_load(floors.times, floors.bytes, series.load, self.thresholds.load_variation)
        step = (level[-1] - level[0]) / (len(level) - 1)
        sampling = _quantum(whole, series.interval) * abs(step)
        return trend.saturation(floors.times, level, trend.noise_of(level).coefficient, sampling)


@dataclass(frozen=True)
class _Trend:
    """One series in one window; rates in bytes per second. `steps` are those its noise is known from; none
    where the sampling error is the larger."""

    end: float
    span: float
    line: trend.Line
    objects: float
    samples: float
    events: float
    steps: float
    judged: _Judged


def judge(instances: Sequence[Series], thresholds: Thresholds = THRESHOLDS) -> Finding:
    """The finding for one site over all `instances`: the most serious of all windows."""
    judged = [j for s in instances if _enough((j := _Judged(s, thresholds)).track, thresholds)]
    if not judged:
        return _learning(instances, thresholds)
    length = max(j.track.times[-1] - j.track.times[0] for j in judged)
    looks: list[tuple[Finding, Sequence[_Trend]]] = []
    while length >= thresholds.span:
        trends = [t for j in judged if (t := _trend(j, length)) is not None]
        if trends:
            looks.append((_decide(trends, thresholds), trends))
        length /= 2
    if not looks:
        return _learning(instances, thresholds)
    chosen = max(range(len(looks)), key=lambda i: (_RANK[looks[i][0].decision], -i))
    growth = _growth([trends for _, trends in looks[chosen:]], thresholds)
    return replace(looks[chosen][0], growth=growth)


def discoveries(
    findings: Sequence[Finding], sites: int, thresholds: Thresholds = THRESHOLDS
) -> list[Finding]:
    """`findings` of a service that has `sites` sites; leaks that so many sites may show by chance become
    suspicions.

    Keeps the expected share of sites of mere noise among the leaks under `false_discovery_rate` (Benjamini
    and Hochberg 1995). The gates on shape come before: they say what growth is, this whether there is any.
    """
    chances = sorted(f.statistics["p"] for f in findings if f.decision == "leak")
    steps = [thresholds.false_discovery_rate * (i + 1) / max(sites, 1) for i in range(len(chances))]
    bound = max((s for p, s in zip(chances, steps, strict=True) if p <= s), default=0.0)
    return [
        replace(f, decision="suspicion") if f.decision == "leak" and f.statistics["p"] > bound else f
        for f in findings
    ]


@cache
def _as_mapping(thresholds: Thresholds) -> Mapping[str, float]:
    """Told with each finding; nobody changes it."""
    return asdict(thresholds)


def _enough(track: Track, thresholds: Thresholds) -> bool:
    return len(track) >= thresholds.points and track.times[-1] - track.times[0] >= 0.9 * thresholds.span


def _learning(instances: Sequence[Series], thresholds: Thresholds) -> Finding:
    reason = (
        f"still learning: needs {thresholds.points} pushes over {thresholds.span:g} s"
        f" after {thresholds.warmup:g} s of warm-up"
    )
    return Finding("learning", None, len(instances), 0, {}, _as_mapping(thresholds), (reason,))


def _trend(judged: _Judged, length: float) -> _Trend | None:
    """The line through the last `length` seconds, its noise taken from up to four times as many."""
    series, track, thresholds = judged.series, judged.track, judged.thresholds
    window = track.since(track.times[-1] - length)
    if not _enough(window, thresholds):
        return None
    run = max(trend.PUSHES_PER_FLOOR, len(window) // trend.FLOORS_MAX)
    floors = trend.floors(track.last(4 * len(window)), run)
    level = trend.without_load(floors.times, floors.bytes, series.load, thresholds.load_variation)
    noise = trend.noise_of(level)
    count = len(window) // run
    line = trend.fit(floors.times[-count:], level[-count:], noise)
    span = window.times[-1] - window.times[0]
    quantum = _quantum(window, series.interval)
    sampling = math.sqrt(1.2 * quantum * abs(line.slope) / span)
    steps = len(level) - 1.0 if line.error > sampling else math.inf
    objects = trend.slope_of(floors.times[-count:], floors.objects[-count:])
    line = trend.Line(line.slope, max(line.error, sampling), line.thirds)
    samples, events = line.slope * span / quantum, trend.events(level[-count:])
    return _Trend(window.times[-1], span, line, objects, samples, events, steps, judged)


def _quantum(track: Track, interval: float) -> float:
    """Bytes that one sampled block stands for, from the mean size of the site's blocks."""
    count = sum(track.objects)
    size = sum(track.bytes) / count if count > 0 else 0.0
    if size <= 1e-9 * interval:
        return interval
    return size / -math.expm1(-size / interval)


def _decide(trends: Sequence[_Trend], thresholds: Thresholds) -> Finding:
    """Pool the instances; a single one that proves the leak alone is enough."""
    pooled = _statistics(trends, thresholds)
    alone = [_statistics([t], thresholds) for t in trends]
    chosen = pooled
    if not _is_leak(pooled, thresholds):
        chosen = next((s for s in alone if _is_leak(s, thresholds)), pooled)
    decision = _decision(chosen, thresholds)
    growing = sum(_decision(s, thresholds) in ("leak", "suspicion") for s in alone)
    if decision == "leak":
        growing = max(1, growing)
    reasons = _reasons(chosen, thresholds)
    return Finding(decision, None, len(trends), growing, chosen, _as_mapping(thresholds), reasons)


def _statistics(trends: Sequence[_Trend], thresholds: Thresholds) -> dict[str, float]:
    slope = sum(t.line.slope for t in trends)
    error = math.sqrt(sum(t.line.error**2 for t in trends))
    first, _, last = (sum(t.line.thirds[i] for t in trends) for i in range(3))
    z = _as_normal(slope / error, _freedom(trends)) if error > 0 else 0.0
    statistics = {
        "z": z,
        "p": 0.5 * math.erfc(max(-30.0, min(z, 30.0)) / math.sqrt(2)),
        "samples": sum(t.samples for t in trends),
        "events": max(t.events for t in trends),
        "ongoing": last / slope if slope > 0 else 0.0,
        "slowing_z": (first - last) / (math.sqrt(6) * error) if error > 0 else 0.0,
        "span": max(t.span for t in trends),
    }
    if z >= thresholds.leak_z:  # Dearer than the rest, and needed only where the rest accuses.
        youth = thresholds.maturity / max(*(t.judged.age for t in trends), thresholds.span)
        doubt = math.log(max(1.0, youth))
        statistics["saturation"] = sum(t.judged.saturation for t in trends) + doubt
    return statistics


def _freedom(trends: Sequence[_Trend]) -> float:
    """Degrees of freedom of the pooled variance (Satterthwaite 1946); infinite for sampling errors."""
    uncertain = sum(t.line.error**4 / t.steps for t in trends)
    return sum(t.line.error**2 for t in trends) ** 2 / uncertain if uncertain > 0 else math.inf


def _as_normal(t: float, freedom: float) -> float:
    """The normal variate that is as unlikely as Student's `t` (Wallace 1959), at most 1e6."""
    if math.isfinite(freedom):
        correction = (8 * freedom + 1) / (8 * freedom + 3)
        t = math.copysign(correction * math.sqrt(freedom * math.log1p(t * t / freedom)), t)
    return max(-1e6, min(t, 1e6))


def _is_leak(s: Mapping[str, float], thresholds: Thresholds) -> bool:
    enough = s["samples"] >= thresholds.samples and s["events"] >= thresholds.events
    proved = s["z"] >= thresholds.leak_z and enough
    goes_on = s["ongoing"] >= thresholds.ongoing and s["slowing_z"] < thresholds.slowing_z
    return proved and goes_on and s["saturation"] < thresholds.saturation


def _decision(s: Mapping[str, float], thresholds: Thresholds) -> Decision:
    if _is_leak(s, thresholds):
        return "leak"
    suspected = s["z"] >= thresholds.suspicion_z and s["samples"] >= thresholds.suspicion_samples
    return "suspicion" if suspected and s["ongoing"] >= thresholds.ongoing else "stable"


def _growth(windows: Sequence[Sequence[_Trend]], thresholds: Thresholds) -> Growth:
    """The rate in the longest of `windows` (longest first) that no shorter one contradicts.

    Their intervals at MATCH have a point in common (Goldenshluger and Nemirovski 1997).
    """
    chosen, low, high = None, -math.inf, math.inf
    for trends in reversed(windows):
        growth = _pooled_growth(trends, thresholds.span, thresholds.confidence)
        half = (growth.high - growth.low) / 2 * _normal_quantile(MATCH) / _normal_quantile(growth.confidence)
        low = max(low, growth.bytes_per_second - half)
        high = min(high, growth.bytes_per_second + half)
        if chosen is not None and low > high:
            break
        chosen = growth
    assert chosen is not None
    return chosen


def _pooled_growth(trends: Sequence[_Trend], span: float, confidence: float) -> Growth:
    """Sum over the instances that still report; of all when none does."""
    latest = max(t.end for t in trends)
    current = [t for t in trends if latest - t.end <= span / 2]
    slope = sum(t.line.slope for t in current)
    margin = _normal_quantile(confidence) * math.sqrt(sum(t.line.error**2 for t in current))
    objects = sum(t.objects for t in current)
    return Growth(slope, slope - margin, slope + margin, objects, confidence)


@cache
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
            s["events"] >= thresholds.events,
            f"it comes in {s['events']:.0f} or more steps, not as one container that resizes",
            f"it comes in {s['events']:.1f} steps, like a container that resizes",
        ),
        line(
            s["ongoing"] >= thresholds.ongoing,
            f"it still goes on: the last third grows at {s['ongoing']:.0%} of the average rate",
            f"it has stopped: the last third grows at {s['ongoing']:.0%} of the average rate",
        ),
        line(
            s["slowing_z"] < thresholds.slowing_z and s.get("saturation", -1) < thresholds.saturation,
            "it grows like a line, not like a cache that fills up",
            "it grows as a cache that fills up might, as far as can be told at this age",
        ),
    )
