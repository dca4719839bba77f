"""How long to run, in how many segments, and how densely to sample."""

from __future__ import annotations

import re
from dataclasses import dataclass

STEPS = 2000
TIMEOUT = 300.0
SEGMENTS = 25
MAX_EXTENSION = 3
FLOOR = 8.0
"""Bytes a step: growth below is what any program does, such as a longer number in a cached string."""
DEPTH = 64
FINEST, COARSEST = 16, 1024
SAMPLES_OF_A_PART = 250
PART = 0.15
SMALLEST_LEAK = 60

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "KB": 1000, "MB": 1_000_000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(|B|KiB|MiB|kB|MB)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    """What to run: `steps` are measured, after `warmup` ones; each, setup() and loading may take `timeout`
    seconds, 0 for any."""

    file: str
    steps: int = STEPS
    warmup: int = STEPS // 5
    seed: int | None = None
    floor: float = FLOOR
    timeout: float = TIMEOUT

    @property
    def segment(self) -> int:
        """Steps between two looks at the live memory."""
        return max(1, self.steps // SEGMENTS)

    @property
    def segments(self) -> int:
        """Segments in `steps`."""
        return max(1, self.steps // self.segment)

    @property
    def limit(self) -> int:
        """Segments that an undecided run may take."""
        return self.segments * MAX_EXTENSION

    @property
    def interval(self) -> int:
        """Mean bytes between samples: the smallest leak of interest leaves SAMPLES_OF_A_PART in a part."""
        grown = PART * self.steps * SMALLEST_LEAK
        return int(min(COARSEST, max(FINEST, grown / SAMPLES_OF_A_PART)))


def growth_limit(text: str) -> float:
    """Bytes a step that `text` ("0", "100", "100B", "1KiB") allows, at least what counts as growth at all.

    ValueError, saying what is accepted, for anything else.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size: write bytes a step such as 0, 100B or 1KiB")
    return max(FLOOR, float(found[1]) * _UNITS[found[2].upper()])


def default_warmup(steps: int) -> int:
    """Steps before measuring: a fifth, so that imports, pools and caches are filled."""
    return max(20, steps // 5)
