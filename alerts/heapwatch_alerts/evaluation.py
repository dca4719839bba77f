"""What an expression is worth at a moment, computed as Prometheus computes it.

The formulas are Prometheus' own, from its promql/functions.go and promql/quantile.go: rates
extrapolate to the window's ends, slopes are least squares, quantiles interpolate inside a bucket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from heapwatch_alerts.expressions import (
    Condition,
    Expression,
    Group,
    Last,
    Over,
    Quantile,
    Ratio,
)
from heapwatch_alerts.history import History, Labels, Points, labels_of

Vector = dict[Labels, float]
"""A value per group."""

_AGGREGATES: dict[str, Callable[[Iterable[float]], float]] = {"sum": math.fsum, "max": max, "min": min}


def holding(condition: Condition, history: History, now: float) -> Vector:
    """The groups for which `condition` holds at `now`, with the value that it judges."""
    judged = evaluate(condition.judged.of, history, now)
    held = {labels: value for labels, value in judged.items() if condition.judged.holds(value)}
    for guard in condition.only_if:
        if held:
            values = evaluate(guard.of, history, now)
            held = {k: v for k, v in held.items() if guard.holds(values.get(k, math.nan))}
    return held


def evaluate(expression: Expression, history: History, now: float) -> Vector:
    """The value of each group of `expression` at `now`."""
    if isinstance(expression, Group):
        return _group(expression, history, now)
    if isinstance(expression, Quantile):
        return _quantile(expression, history, now)
    return _ratio(expression, history, now)


def _group(group: Group, history: History, now: float) -> Vector:
    members: dict[Labels, list[float]] = {}
    for labels, value in _instant(group.of, history, now).items():
        present = dict(labels)
        key = labels_of({name: present.get(name, "") for name in group.by})
        members.setdefault(key, []).append(value)
    aggregate = _AGGREGATES[group.function]
    return {key: aggregate(values) for key, values in members.items()}


def _instant(leaf: Last | Over, history: History, now: float) -> Vector:
    if isinstance(leaf, Last):
        return history.last(leaf.of)
    windows = history.window(leaf.of, now, leaf.window)
    if leaf.function == "deriv":
        return {labels: slope(p) for labels, p in windows.items() if len(p.times) > 1}
    increases = {k: increase(p, now - leaf.window, now) for k, p in windows.items() if len(p.times) > 1}
    if leaf.function == "increase":
        return increases
    return {labels: value / leaf.window for labels, value in increases.items()}


def _ratio(ratio: Ratio, history: History, now: float) -> Vector:
    left, right = _group(ratio.left, history, now), _group(ratio.right, history, now)
    return {labels: divide(left[labels], right[labels]) for labels in left.keys() & right.keys()}


def divide(left: float, right: float) -> float:
    """`left` over `right` as IEEE 754 has it: 0/0 is NaN, x/0 is an infinity."""
    if right:
        return left / right
    return math.nan if not left or math.isnan(left) else math.copysign(math.inf, left)


def increase(points: Points, start: float, end: float) -> float:
    """How much a counter rose in [start, end], from two or more points inside.

    A fall is a reset to zero. The rise between the first and last point is stretched to the ends of
    the window; where the nearest point is further off than 1.1 times the mean spacing, only by half
    a spacing; and never to before the counter was zero.
    """
    times, values = points.times, points.values
    rise = values[-1] - values[0] + sum(before for before, after in pairwise(values) if after < before)
    sampled = times[-1] - times[0]
    spacing = sampled / (len(times) - 1)
    to_start, to_end = times[0] - start, end - times[-1]
    if rise > 0 and values[0] >= 0:
        to_start = min(to_start, sampled * values[0] / rise)
    reach = sampled
    for distance in (to_start, to_end):
        reach += distance if distance < 1.1 * spacing else spacing / 2
    return rise * reach / sampled


def slope(points: Points) -> float:
    """Slope of the least-squares line through `points`, per second."""
    count = len(points.times)
    mean_time, mean_value = math.fsum(points.times) / count, math.fsum(points.values) / count
    offsets = [t - mean_time for t in points.times]
    spread = math.fsum(d * d for d in offsets)
    return math.fsum(d * (v - mean_value) for d, v in zip(offsets, points.values, strict=True)) / spread


def _quantile(quantile: Quantile, history: History, now: float) -> Vector:
    histograms: dict[Labels, list[tuple[float, float]]] = {}
    for labels, rate in _group(quantile.buckets, history, now).items():
        bound = dict(labels).get("le", "")
        key = tuple(pair for pair in labels if pair[0] != "le")
        histograms.setdefault(key, []).append((float(bound), rate))
    return {key: bucket_quantile(quantile.q, sorted(buckets)) for key, buckets in histograms.items()}


def bucket_quantile(q: float, buckets: list[tuple[float, float]]) -> float:
    """The `q` quantile of a histogram given as (upper bound, cumulative count), bounds rising.

    Linear inside a bucket; the highest finite bound where the quantile lies beyond it; NaN for a
    histogram that is empty or has no bucket up to infinity.
    """
    if len(buckets) < 2 or buckets[-1][0] != math.inf or not buckets[-1][1] > 0:
        return math.nan
    rank = q * buckets[-1][1]
    index = next(i for i, (_, cumulative) in enumerate(buckets) if cumulative >= rank)
    bound, cumulative = buckets[index]
    if bound == math.inf:
        return buckets[-2][0]
    lower, below = buckets[index - 1] if index else (0.0, 0.0)
    inside = cumulative - below
    return lower + (bound - lower) * (rank - below) / inside if inside else bound
