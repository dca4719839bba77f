"""Query arguments of our own API."""

from __future__ import annotations

import math
import time as clock
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from heapwatch_collector.errors import Malformed

DEFAULT_RANGE = 3600.0
_LATEST = 1e10


@dataclass(frozen=True)
class Range:
    """[start, end] in Unix milliseconds."""

    start: int
    end: int


def time_range(arguments: MultiDict[str, str]) -> Range:
    """From `start` and `end` (Unix seconds): by default the last hour. Raises Malformed."""
    end = number(arguments, "end", clock.time(), 0, _LATEST)
    start = number(arguments, "start", end - DEFAULT_RANGE, -_LATEST, _LATEST)
    if start > end:
        raise Malformed(f"start={start:g} is after end={end:g}", "send times in Unix seconds")
    return Range(int(start * 1000), math.ceil(end * 1000))


def step(arguments: MultiDict[str, str]) -> int:
    """`step` (seconds) in milliseconds; 0 means every point. Raises Malformed."""
    return round(number(arguments, "step", 0.0, 0, 366 * 86400.0) * 1000)


def limit(arguments: MultiDict[str, str], default: int, most: int) -> int:
    """`limit`, a count. Raises Malformed."""
    return int(number(arguments, "limit", default, 1, most))


def number(arguments: MultiDict[str, str], name: str, default: float, low: float, high: float) -> float:
    """The argument `name`; Malformed unless it is a number in [low, high]."""
    text = arguments.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise Malformed(f"{name}={text[:80]!r} is not usable", f"send a number from {low:g} to {high:g}")
    return value
