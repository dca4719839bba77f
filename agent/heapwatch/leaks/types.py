"""The census that goes to the collector: the largest types, counted now and then at little cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from heapwatch.leaks.census import Census, Count, take
from heapwatch.leaks.pace import Pace
from heapwatch.sampler import Walk, walk
from heapwatch.threads import sleep

BUDGET = 0.05
MOST = 0.4
"""Seconds of CPU of one census: doubled up to this until they do for the whole heap."""
SHARE = 0.001
"""Part of a core that all of them may take: 0.05 s are spent every 50 s at the most, 0.4 s every 400 s."""
LONGEST = 3600.0
LARGEST = 20
KEPT = 40
"""Types that are told of: the largest, and those that once were, so that they can be seen to shrink."""


class Types:
    """Counts objects by type every `interval` seconds; `observe` is called by the agent's thread."""

    def __init__(self, interval: float, walk: Callable[[], Walk] = walk) -> None:
        self._walk = walk
        self._pace = Pace(interval, SHARE, max(interval, LONGEST))
        self._budget = BUDGET
        self._told: dict[str, Count] = {}

    def observe(self, now: float) -> None:
        """Take a census if one is due at `now` (Unix seconds)."""
        if not self._pace.due(now):
            return
        with self._pace.work(now):
            census = take(self._walk(), self._budget, sleep, now)
        if census.complete:
            self._note(census)
        else:
            # What the budget didn't reach would look like memory that was freed.
            self._budget = min(MOST, 2 * self._budget)

    def counts(self) -> Mapping[str, Count]:
        """Objects and bytes by type as of the last complete census; empty before the first."""
        return self._told

    def _note(self, census: Census) -> None:
        largest = sorted(census.types, key=lambda name: -census.types[name].bytes)[:LARGEST]
        known = [name for name in self._told if name not in largest]
        kept = [*largest, *known][:KEPT]
        self._told = {name: census.types.get(name, Count()) for name in kept}
