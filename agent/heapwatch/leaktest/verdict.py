"""Whether memory grows for good, decided from what is alive at each look and when it was born.

The last part of the run (the window) is cut into PARTS. Growth is a leak when both hold:

- the level goes on growing: from part to part its floor (the least of the part's looks) rises, each time by
  about as much. That leaves out caches that fill and then stop, saw teeth, queues that are worked off,
  growth that slows down;
- what was born in each part survives alike. That leaves out what is replaced or expires with age while the
  level happens to rise.

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

WINDOW = 0.6
PARTS = 4
LEAST = 0.5
"""Of the mean of all parts: what the weakest part of a leak has."""
KEPT = 0.75
"""Of the growth of the first part: what the last one of a leak has. A logarithm has less over any window."""
SURE = 4.0
"""Standard errors of the sampling that growth has to stand above the floor."""
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


def judge(series: Series, segment: int, interval: float, floor: float) -> Judgement:
    """The answer for `series` of looks `segment` steps apart, sampled every `interval` bytes.

    Growth below `floor` bytes a step is none.
    """
    window = _window(len(series.bytes))
    if len(window) < PARTS * 2:
        return Judgement("unsure", why="too few looks")
    steps = segment * len(window) * (PARTS - 1) / PARTS
    grown, counted = _rises(series.bytes, window), _rises(series.objects, window)
    rate, objects = sum(grown) / steps, sum(counted) / steps
    size = _sample_size(series, interval)
    error = math.sqrt(sum(map(abs, grown)) * size) / steps
    if rate + error < floor:
        return Judgement("no leak", rate, error, objects, "it does not grow")
    by_objects = rate * steps < 2 * sum(counted) * _mean_size(series)
    answers: list[Answer] = [_level(counted, size * objects / rate) if by_objects else _level(grown, size)]
    if by_objects and series.born is not None:
        answers.append(_survivors(_by_part(series.born, window), size * objects / rate))
    if rate - SURE * error < floor:
        answers.append("unsure")
    return Judgement(_combined(answers), rate, error, objects, _why(grown))


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


def _survivors(parts: Sequence[float], sample: float) -> Answer:
    """Whether all births survive alike."""
    mean = sum(parts) / len(parts)
    noise = math.sqrt(max(mean, sample) * sample)
    if min(parts) >= LEAST * mean and KEPT * parts[-1] <= parts[0]:
        return "leak"
    return "no leak" if parts[0] < LEAST * mean - RULED_OUT * noise else "unsure"


def _combined(answers: Sequence[Answer]) -> Answer:
    if "no leak" in answers:
        return "no leak"
    return "unsure" if "unsure" in answers else "leak"
