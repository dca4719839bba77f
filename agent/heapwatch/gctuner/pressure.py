"""Whether memory is about to run out, by the container's limit or by the kernel's word on stalls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heapwatch.cgroup import ContainerMemory

NEAR_LIMIT = 0.9
"""Part of the limit that the working set may take."""
STALLED = 10.0
"""Percent of the last ten seconds in which some task waited for memory."""


class Pressure:
    """Asks `memory` (the container's memory) and reads `stalls` (a file like /proc/pressure/memory)."""

    def __init__(
        self,
        memory: Callable[[], ContainerMemory | None],
        stalls: Path = Path("/proc/pressure/memory"),
    ) -> None:
        self._memory = memory
        self._stalls = stalls

    def __call__(self) -> str:
        """What presses, in words; "" when nothing does."""
        memory = self._memory()
        if memory is not None and memory.limit and memory.working_set > NEAR_LIMIT * memory.limit:
            share = memory.working_set / memory.limit
            return f"the working set is {share:.0%} of the container's limit"
        percent = stalled(self._stalls)
        return f"tasks waited for memory {percent:.0f}% of the time" if percent > STALLED else ""


def stalled(file: Path) -> float:
    """Percent of the last ten seconds in which some task waited for memory; 0 from a kernel without PSI."""
    try:
        line = file.read_text().partition("\n")[0]
        return float(dict(word.split("=") for word in line.split()[1:])["avg10"])
    except (OSError, ValueError, KeyError):
        return 0.0
