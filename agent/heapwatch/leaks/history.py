"""Live bytes and objects of the sites that grow most, over time, in bounded memory."""

from __future__ import annotations

from array import array
from heapq import nlargest
from itertools import islice

from heapwatch_wire.sites import Frame

from heapwatch.dice import Random
from heapwatch.leaks.sites import Levels

MAX_SITES = 256
MAX_POINTS = 360
MAX_CANDIDATES = 8192
BUDGET = 2_500_000
"""Bytes that a history takes at most: 0.8 million of points, whose numbers are kept to 7 digits (no estimate
is as good as that), the rest for the candidates."""
DECAY = 0.05


class History:
    """At most `max_sites` sites at the last `max_points` observations: those that grew most.

    Growth is the height of a site's level above its lowest so far, which is known of `max_candidates` sites.
    Of more sites the highest stay candidates; the others are drawn by lot at each observation, and heights
    outside the top decay, so that what only swings makes room for what goes on growing (as heavy hitters are
    found in a stream; Metwally and others 2005, Cormode and others 2008). A site that comes back starts anew.
    """

    def __init__(
        self,
        max_sites: int = MAX_SITES,
        max_points: int = MAX_POINTS,
        max_candidates: int = MAX_CANDIDATES,
    ) -> None:
        self._max_sites = max_sites
        self._max_points = max_points
        self._max_candidates = max_candidates
        self._lots = Random(1)
        self._times = array("d")
        self._lowest: dict[Frame, float] = {}
        self._bytes: dict[Frame, array[float]] = {}
        self._objects: dict[Frame, array[float]] = {}

    def observe(self, now: float, sites: Levels) -> None:
        """Add a point at `now`, Unix seconds, to each site kept; a site without samples gets zeros."""
        before, first = self._lowest, not self._times
        # A site without a sample at the last observation had none, if all were known then: its growth starts
        # from nothing.
        fresh = not first and len(before) < self._max_candidates
        self._lowest = {
            frame: min(size, before.get(frame, 0.0 if fresh else size)) for frame, (size, _) in sites.items()
        }
        if len(self._lowest) > self._max_candidates:
            self._forget(sites)
        self._choose(sites, start=[0.0] if fresh else [], before=before)
        self._times.append(now)
        del self._times[: -self._max_points]
        for frame, values in self._bytes.items():
            size, count = sites.get(frame, (0.0, 0.0))
            values.append(size)
            self._objects[frame].append(count)
            del values[: -self._max_points]
            del self._objects[frame][: -self._max_points]

    def points(self, frame: Frame) -> list[tuple[float, float, float]]:
        """(Unix time, live bytes, live objects) of a site; empty for one that isn't kept."""
        values = self._bytes.get(frame, array("f"))
        times = self._times[-len(values) :] if values else array("d")
        return list(zip(times, values, self._objects.get(frame, ()), strict=True))

    def grown(self, least: float) -> list[Frame]:
        """The sites whose live bytes are more than `least` above their lowest so far, most grown first."""
        growth = {frame: min(v[-3:]) - min(v) for frame, v in self._bytes.items()}
        return sorted((f for f, g in growth.items() if g > least), key=lambda f: -growth[f])

    def _forget(self, sites: Levels) -> None:
        """Leave the highest candidates, of the others as many as there is room for."""
        lowest, lot = self._lowest, self._lots.random
        for frame, low in lowest.items():
            if frame not in self._bytes:
                lowest[frame] = low + DECAY * (sites[frame][0] - low)
        kept = nlargest(self._max_candidates, lowest, key=lambda f: (sites[f][0] - lowest[f], lot()))
        self._lowest = {frame: lowest[frame] for frame in kept}

    def _choose(self, sites: Levels, start: list[float], before: dict[Frame, float]) -> None:
        """Keep the highest sites; `before` are those of the last time, others begin with `start`."""
        height = {f: size - low for f, low in self._lowest.items() if (size := sites[f][0]) > low}
        # Of two alike the one that has a history stays; those that don't grow fill what room is left.
        ranked = nlargest(
            self._max_sites,
            [*self._bytes, *(height.keys() - self._bytes.keys())],
            key=lambda f: height.get(f, 0.0),
        )
        kept = set(ranked)
        if len(kept) < self._max_sites:
            kept.update(islice((f for f in self._lowest if f not in kept), self._max_sites - len(kept)))
        for frame in self._bytes.keys() - kept:
            del self._bytes[frame], self._objects[frame]
        for frame in kept - self._bytes.keys():
            values = [] if frame in before else start
            self._bytes[frame], self._objects[frame] = array("f", values), array("f", values)
