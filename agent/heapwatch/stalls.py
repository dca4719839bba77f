"""Time that tasks waited for memory, as the kernel counts it: pressure stall information (PSI)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MACHINE = Path("/proc/pressure/memory")


@dataclass(frozen=True)
class Stalls:
    """Percent of the last ten seconds, and seconds since the start, in which some tasks waited for memory, or
    all that had work to do (`full`)."""

    some: float
    full: float
    some_seconds: float
    full_seconds: float


def read_stalls(file: Path = MACHINE) -> Stalls | None:
    """What a file such as /proc/pressure/memory, or a cgroup's memory.pressure, says now.

    None from a kernel without PSI.
    """
    try:
        lines = [dict(word.split("=") for word in line.split()[1:]) for line in file.read_text().splitlines()]
        some, full = lines[0], lines[1]
        return Stalls(
            float(some["avg10"]), float(full["avg10"]), int(some["total"]) / 1e6, int(full["total"]) / 1e6
        )
    except (OSError, ValueError, KeyError, IndexError):
        return None
