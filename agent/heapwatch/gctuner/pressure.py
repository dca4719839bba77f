"""Whether memory is about to run out, by the container's limit or by the kernel's word on stalls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from heapwatch.cgroup import ContainerMemory
from heapwatch.stalls import MACHINE, read_stalls

NEAR_LIMIT = 0.9
"""Part of the limit that the working set may take."""
STALLED = 10.0
"""Percent of the last ten seconds in which some task waited for memory."""


class Pressure:
    """Asks `memory` (the container's memory), and `stalls` (a file like /proc/pressure/memory) where the
    container's own stalls are unknown."""

    def __init__(
        self,
        memory: Callable[[], ContainerMemory | None],
        stalls: Path = MACHINE,
    ) -> None:
        self._memory = memory
        self._stalls = stalls

    def __call__(self) -> str:
        """What presses, in words; "" when nothing does."""
        memory = self._memory()
        bound = memory and memory.bound
        if bound and bound.share > NEAR_LIMIT:
            return f"the working set is {bound.share:.0%} of the container's limit"
        stalls = (memory and memory.stalls) or read_stalls(self._stalls)
        percent = stalls.some if stalls is not None else 0.0
        return f"tasks waited for memory {percent:.0f}% of the time" if percent > STALLED else ""
