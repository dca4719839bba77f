"""Time that tasks waited for memory, as the kernel counts it: pressure stall information (PSI)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MACHINE = Path("/proc/pressure/memory")


@dataclass(frozen=True)
class Stalls:
    """Percent of the last ten seconds, and seconds since the start, in which some tasks waited for memory, or
    all that had work to do (`full`; None where the kernel doesn't say)."""

    some: float
    full: float | None
    some_seconds: float
    full_seconds: float | None


def read_stalls(file: Path = MACHINE) -> Stalls | None:
    """What a file such as /proc/pressure/memory, or a cgroup's memory.pressure, says now.

    None from a kernel without PSI.
    """
    try:
        lines = filter(None, map(str.split, file.read_text().splitlines()))
        rows = {tasks: _figures(words) for tasks, *words in lines}
        full = rows.get("full", (None, None))
        return Stalls(rows["some"][0], full[0], rows["some"][1], full[1])
    except (OSError, ValueError, KeyError):
        return None


def _figures(words: Sequence[str]) -> tuple[float, float]:
    """(percent of the last ten seconds, seconds since the start)"""
    figures = dict(word.split("=") for word in words)
    return float(figures["avg10"]), int(figures["total"]) / 1e6
