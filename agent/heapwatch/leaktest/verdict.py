"""Whether memory grows for good, decided from what is alive at each look and when it was born.

The last part of the run (the window) is cut into PARTS. Growth is a leak when both hold:

- the level goes on growing: from part to part its floor (the least of the part's looks) rises, each time by
  about as much. That leaves out caches that fill and then stop, saw teeth, queues that are worked off,
  growth that slows down;
- what was born in each part survives alike. That leaves out what is replaced or expires with age while the
  level happens to rise.

A buffer that doubles each time it is full rises seldom: it is judged, when the run can't be made longer, by
its steps, each about twice as large and twice as far from the last as the one before. By twice the time of
the last one the next is due.

Where samples are too few to tell, growth has just begun, or parts differ too little to rule it out, the
answer is "unsure": the run goes on. A container that grows without its items being sampled (a buffer, a list
of small numbers) grows in bytes, not in objects, and is born anew each time it is enlarged, so only its level
is judged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from heapwatch_wire.trend import slope_of

WINDOW = 0.6
PARTS = 4
LEAST = 0.5
"""Of the mean of all parts: what the weakest part of a leak has."""
KEPT = 0.75
"""Of the growth of the first part: what the last one of a leak has. A logarithm has less over any window."""
SURE = 4.0
"""Standard errors of the sampling that growth has to stand above the floor."""
DOUBLINGS = 3
"""Steps that a buffer which doubles has to show."""
ABOUT_TWICE = (1.4, 2.9)
OVERDUE = 2.2
"""Times the time of the last step: by then a further one should have come."""
WAVERS = 5.0
"""Standard deviations of the looks: growth in the window below that may be chance, when births don't tell."""
RULED_OUT = 3.0
"""Standard errors below which a part is too weak for a leak."""

Answer = Literal["leak", "no leak", "unsure"]


@dataclass(frozen=True)
class Judgement:
    """The answer for one series, with the growth in bytes and objects a step; `error` is the standard error
    of the bytes, `why` a sentence."""

    answer: Answer
    bytes_per_step: float = 0.0
    error: float = 0.0
    objects_per_step: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Series:
    """Live bytes and objects at each look; objects at the last one by segment of birth (None: not known).

    `sample` is what one sample stands for in bytes, 0: as the mean size of the objects says.
    """

    bytes: Sequence[float]
    objects: Sequence[float]
    born: Mapping[int, float] | None = None
    sample: float = 0.0


@dataclass(frozen=True)
class Run:
    """How a series came about: `before` steps until the first look, then `segment` steps from look to look;
    sampled every `interval` bytes; `last` says that the run can't be made longer. Growth below `floor` bytes
    a step is none.
    """

    before: int
    segment: int
    interval: float
    floor: float
    last: bool


def judge(series: Series, run: Run) -> Judgement:
    """The answer for `series`."""
    segment, floor = run.segment, run.floor
    window = _window(len(series.bytes))
    if len(window) < PARTS * 2:
        return Judgement("unsure", why="too few looks")
    steps = segment * len(window) * (PARTS - 1) / PARTS
    grown, counted = _rises(series.bytes, window), _rises(series.objects, window)
    rate, objects = sum(grown) / steps, sum(counted) / steps
    size = _sample_size(series, run.interval)
    error = math.sqrt(sum(map(abs, grown)) * _variance(series, run.interval)) / steps
    if _doubles(series.bytes, run):
        overall = (series.bytes[-1] - series.bytes[0]) / (segment * (len(series.bytes) - 1))
        answer: Answer = "leak" if run.last else "unsure"
        return Judgement(answer, overall, overall / 2, objects, "it doubles when it is full")
    if rate <= 0 or rate + error < floor:
        return Judgement("no leak", rate, error, objects, "it does not grow")
    if objects > 0 and rate * steps < 2 * sum(counted) * _mean_size(series):
        sample = size * objects / rate
        answer = _level(counted, sample)
        if series.born is not None:
            answer = _combined(answer, _survivors(_by_part(series.born, window), sample))
    else:
        answer = _level(grown, size)
        if answer != "leak" and run.last and _enlarged(series.bytes, window):
            answer = "leak"
    if rate - SURE * error < floor or (series.born is None and _wavers(series.bytes, window)):
        answer = _combined(answer, "unsure")
    return Judgement(answer, rate, error, objects, _why(grown))


def _why(rises: Sequence[float]) -> str:
    return "its floor rose by " + ", ".join(f"{rise:,.0f}" for rise in rises) + " bytes from part to part"


def _window(looks: int) -> range:
    """The looks of the last WINDOW of the run."""
    return range(round((looks - 1) * (1 - WINDOW)), looks)


def _parts(window: range) -> list[range]:
    edges = [window.start + round(len(window) * k / PARTS) for k in range(PARTS + 1)]
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def _rises(values: Sequence[float], window: range) -> list[float]:
    """By how much the floor rises from each part to the next."""
    floors = [min(values[look] for look in part) for part in _parts(window)]
    return [b - a for a, b in itertools.pairwise(floors)]


def _by_part(born: Mapping[int, float], window: range) -> list[float]:
    """Survivors of each part's segments, per segment. What was born last may still be in use: left out."""
    segments = range(window.start, window.stop - 2)
    return [sum(born.get(s, 0.0) for s in part) / len(part) for part in _parts(segments)]


def _mean_size(series: Series) -> float:
    return series.bytes[-1] / max(series.objects[-1], 1e-9)


def _sample_size(series: Series, interval: float) -> float:
    """Bytes that one sample of this series stands for: s / (1 - exp(-s / R)) for blocks of s bytes."""
    if series.sample:
        return series.sample
    size = max(1.0, _mean_size(series))
    return size / -math.expm1(-size / interval)


def _variance(series: Series, interval: float) -> float:
    """Variance of the estimate for each byte: s / (exp(s / R) - 1); none for blocks sure to be sampled."""
    if series.sample:
        return series.sample
    size = max(1.0, _mean_size(series))
    return size / math.expm1(min(700.0, size / interval))


def _level(rises: Sequence[float], sample: float) -> Answer:
    """Whether a level that rises so goes on for good; a sample stands for `sample`."""
    mean = sum(rises) / len(rises)
    noise = math.sqrt(max(mean, sample) * sample)
    if min(rises) >= LEAST * mean and rises[-1] >= KEPT * rises[0]:
        return "leak"
    begun = rises[-1] >= mean
    too_weak = min(rises) < LEAST * mean - RULED_OUT * noise
    slowed = rises[-1] < LEAST * rises[0] - RULED_OUT * noise
    return "no leak" if (too_weak or slowed) and not begun else "unsure"


def _doubles(values: Sequence[float], run: Run) -> bool:
    """Whether the level rises as a buffer does that doubles when it is full: in few steps, hardly between."""
    rises = [b - a for a, b in itertools.pairwise(values)]
    total = values[-1] - values[0]
    if total < run.floor * run.segment * len(rises):
        return False
    steps = [(look, rise) for look, rise in enumerate(rises, 1) if rise > total / 2 ** (DOUBLINGS + 1)]
    between = sum(map(abs, rises)) - sum(rise for _, rise in steps)
    last = steps[-DOUBLINGS:] if run.last else steps[1 - DOUBLINGS :]
    if len(last) < (DOUBLINGS if run.last else DOUBLINGS - 1) or between > 0.1 * total:
        return False
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(last)]
    ratios = [b[1] / a[1] for a, b in itertools.pairwise(last)] + [b / a for a, b in itertools.pairwise(gaps)]
    low, high = ABOUT_TWICE
    now, then = (run.before + run.segment * look for look in (len(rises), last[-1][0]))
    return all(low <= ratio <= high for ratio in ratios) and now <= OVERDUE * then


def _enlarged(values: Sequence[float], window: range) -> bool:
    """Whether the level rises as that of a list does, by a fraction of itself each time: about as much in
    both halves of the window, and it never falls."""
    inside = [values[look] for look in window]
    first, second = inside[len(inside) // 2] - inside[0], inside[-1] - inside[len(inside) // 2]
    return inside == sorted(inside) and min(first, second) >= LEAST * max(first, second) > 0


def _wavers(values: Sequence[float], window: range) -> bool:
    """Whether the looks scatter about a line so much that floors may rise by chance."""
    inside = [values[look] for look in window]
    middle, mean = (len(inside) - 1) / 2, sum(inside) / len(inside)
    slope = slope_of(range(len(inside)), inside)
    scatter = sum((v - mean - slope * (x - middle)) ** 2 for x, v in enumerate(inside)) / len(inside)
    return slope * len(inside) < WAVERS * math.sqrt(scatter)


def _survivors(parts: Sequence[float], sample: float) -> Answer:
    """Whether all births survive alike."""
    mean = sum(parts) / len(parts)
    noise = math.sqrt(max(mean, sample) * sample)
    if min(parts) >= LEAST * mean and KEPT * parts[-1] <= parts[0]:
        return "leak"
    return "no leak" if parts[0] < LEAST * mean - RULED_OUT * noise else "unsure"


def _combined(one: Answer, other: Answer) -> Answer:
    if "no leak" in (one, other):
        return "no leak"
    return "unsure" if "unsure" in (one, other) else "leak"
