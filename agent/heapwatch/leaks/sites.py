"""The sampler's rows rolled up to allocation sites, and a bounded history of the growing ones."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import nlargest

from heapwatch_wire.sites import Frame, Stack, responsible

from heapwatch.sampler import Totals

Frames = Callable[[int], Stack]

MAX_SITES = 256
MAX_POINTS = 360


@dataclass(slots=True)
class SiteTotals:
    """What the sampler knows of one site now. Counters hold live bytes by stack, label and thread."""

    frame: Frame
    live_bytes: float = 0.0
    live_objects: float = 0.0
    alloc_bytes: float = 0.0
    alloc_objects: float = 0.0
    stacks: Counter[int] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)

    def add(self, row: Totals) -> None:
        """Count `row`, which is one of this site's."""
        self.live_bytes += row.inuse_bytes
        self.live_objects += row.inuse_objects
        self.alloc_bytes += row.alloc_bytes
        self.alloc_objects += row.alloc_objects
        if row.inuse_bytes > 0:
            self.stacks[row.stack_id] += row.inuse_bytes  # type: ignore[assignment]  # Counters hold floats too.
            self.labels[row.label] += row.inuse_bytes  # type: ignore[assignment]
            self.threads[row.thread] += row.inuse_bytes  # type: ignore[assignment]

    def heaviest_stack(self, frames: Frames) -> Stack:
        """The stack with most live bytes; the site's own frame when nothing lives."""
        top = self.stacks.most_common(1)
        return (frames(top[0][0]) if top else ()) or (self.frame,)


def roll_up(rows: Iterable[Totals], known: dict[int, Frame], frames: Frames) -> dict[Frame, SiteTotals]:
    """The sites of `rows`, each stack counted where its responsible frame is.

    `frames` tells the frames of a stack. `known` remembers the responsible ones by stack from one call to the
    next, for the stacks of `rows`.
    """
    sites: dict[Frame, SiteTotals] = {}
    seen: dict[int, Frame] = {}
    names = {frame: frame for frame in known.values()}
    for row in rows:
        frame = seen.get(row.stack_id) or known.get(row.stack_id) or responsible(frames(row.stack_id))
        frame = seen[row.stack_id] = names.setdefault(frame, frame)
        totals = sites.get(frame)
        if totals is None:
            totals = sites[frame] = SiteTotals(frame)
        totals.add(row)
    known.clear()
    known.update(seen)
    return sites


class History:
    """Live bytes and objects of at most MAX_SITES sites at the last MAX_POINTS observations.

    At 8 bytes a point this is 0.7 MB when full: numbers are kept to 7 digits, and no estimate is as good as
    that. Of more sites those stay that stand highest above their lowest level so far, which takes one number
    of each site to know. A site that comes back starts anew.
    """

    def __init__(self, max_sites: int = MAX_SITES, max_points: int = MAX_POINTS) -> None:
        self._max_sites = max_sites
        self._max_points = max_points
        self._times = array("d")
        self._lowest: dict[Frame, float] = {}
        self._bytes: dict[Frame, array[float]] = {}
        self._objects: dict[Frame, array[float]] = {}

    def observe(self, now: float, sites: dict[Frame, SiteTotals]) -> None:
        """Add a point at `now`, Unix seconds, to each site kept; a site without samples gets zeros."""
        present = self._lowest
        first = not self._times
        self._lowest = {
            # Without a sample at the last observation it had none: growth starts from nothing.
            frame: min(totals.live_bytes, present.get(frame, totals.live_bytes if first else 0.0))
            for frame, totals in sites.items()
        }
        self._choose(sites, new_start=[] if first else [0.0], before=present)
        self._times.append(now)
        del self._times[: -self._max_points]
        for frame, values in self._bytes.items():
            totals = sites.get(frame)
            values.append(totals.live_bytes if totals else 0.0)
            self._objects[frame].append(totals.live_objects if totals else 0.0)
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

    def _choose(
        self, sites: dict[Frame, SiteTotals], new_start: list[float], before: dict[Frame, float]
    ) -> None:
        """Keep the sites that stand highest above their lowest level; `before` are those of the last time."""
        kept = set(self._bytes) | set(sites)
        if len(kept) > self._max_sites:
            height = {f: sites[f].live_bytes - self._lowest[f] for f in sites}
            # Of two alike the one that has a history stays.
            kept = set(nlargest(self._max_sites, kept, key=lambda f: (height.get(f, 0.0), f in self._bytes)))
        for frame in set(self._bytes) - kept:
            del self._bytes[frame], self._objects[frame]
        for frame in kept - set(self._bytes):
            start = [] if frame in before else new_start
            self._bytes[frame], self._objects[frame] = array("f", start), array("f", start)
