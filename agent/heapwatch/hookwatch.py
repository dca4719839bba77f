"""Says when another tool took Python's allocators away from the sampler."""

from __future__ import annotations

import time

from heapwatch.failures import logger
from heapwatch.sampler import Sampler

LOOK = 5.0


class HookWatch:
    """Asks `sampler` whether its hooks are still reached, which puts them back, and logs what came of it."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        stats = sampler.stats()
        self._rewraps = stats.get("rewraps", 0)
        self._intact = True

    def look(self, now: float) -> None:
        """Log a warning for each time that the hooks were put back, and one when they can't be."""
        stats = self._sampler.stats()
        rewraps, intact = stats.get("rewraps", 0), bool(stats.get("hooks_intact", 1))
        moment = time.strftime("%H:%M:%S", time.localtime(now))
        if not intact and self._intact:
            logger.warning(
                "heapwatch: no allocations are sampled since about %s: another tool keeps Python's allocators"
                " for itself; stop it, or start it before the agent",
                moment,
            )
        elif rewraps > self._rewraps:
            logger.warning(
                "heapwatch: another tool put other allocators in the place of the sampler's, which are back"
                " since %s; what was allocated before is no longer known",
                moment,
            )
        self._rewraps, self._intact = rewraps, intact
