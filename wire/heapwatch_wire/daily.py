"""What comes back each day at the same hour, taken out of a series: the load of a day is no growth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from heapwatch_wire.trend import Push

HOUR, DAY = 3600.0, 86400.0
DAYS = 2.0
"""Days that must be seen before anything can be known to come back."""


def without_day(points: Sequence[Push]) -> Sequence[Push]:
    """`points` less the daily profile of their bytes; unchanged while fewer than DAYS days were seen.

    The growth of a day is the median of the differences between the same hours of neighbouring days. The
    profile of an hour is the median over the days of what is left of the hour without that growth and without
    the day's own level.
    """
    if len(points) < 2 or points[-1][0] - points[0][0] < DAYS * DAY:
        return points
    hours = _hourly(points)
    differences = [value - hours[cell - 24] for cell, value in hours.items() if cell - 24 in hours]
    if not differences:
        return points
    growth = _median(differences) / 24
    left: dict[int, list[float]] = defaultdict(list)
    for day in _days(hours):
        rest = {cell: hours[cell] - growth * cell for cell in day}
        level = _mean(rest.values())
        for cell, value in rest.items():
            left[cell % 24].append(value - level)
    profile = {hour: _median(values) for hour, values in left.items()}
    return [(t, size - _at(profile, t), count) for t, size, count in points]


def _hourly(points: Sequence[Push]) -> dict[int, float]:
    """Mean bytes of each hour since the epoch."""
    cells: dict[int, list[float]] = defaultdict(list)
    for time, size, _ in points:
        cells[int(time // HOUR)].append(size)
    return {cell: _mean(values) for cell, values in cells.items()}


def _days(hours: dict[int, float]) -> list[list[int]]:
    """Stretches of 24 hours counted back from the newest; one that isn't complete has no level to compare."""
    newest, oldest = max(hours), min(hours)
    ends = range(newest, oldest + 22, -24)
    return [[cell for cell in range(end - 23, end + 1) if cell in hours] for end in ends]


def _at(profile: dict[int, float], time: float) -> float:
    """The profile between the middles of two hours."""
    position = time / HOUR - 0.5
    before = int(position // 1)
    share = position - before
    low = profile.get(before % 24, 0.0)
    return low + share * (profile.get((before + 1) % 24, low) - low)


# The module statistics would load decimals and fractions into every process that has an agent.
def _mean(values: Collection[float]) -> float:
    return math.fsum(values) / len(values)


def _median(values: Iterable[float]) -> float:
    ranked = sorted(values)
    return (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
