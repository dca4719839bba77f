"""The sampler's rows rolled up to allocation sites, and a bounded history of the growing ones."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from heapwatch_wire.sites import Frame, Stack, responsible

from heapwatch.sampler import Row

MAX_SITES = 256
MAX_POINTS = 360


@dataclass
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
    frames: dict[int, Stack] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count `row`, which is one of this site's."""
        self.live_bytes += row.inuse_bytes
        self.live_objects += row.inuse_objects
        self.alloc_bytes += row.alloc_bytes
        self.alloc_objects += row.alloc_objects
        if row.inuse_bytes > 0:
            self.stacks[row.stack_id] += row.inuse_bytes  # type: ignore[assignment]  # Counters hold floats too.
            self.labels[row.label] += row.inuse_bytes  # type: ignore[assignment]
            self.threads[row.thread] += row.inuse_bytes  # type: ignore[assignment]
            self.frames[row.stack_id] = row.frames

    def heaviest_stack(self) -> Stack:
        """The stack with most live bytes; the site's own frame when nothing lives."""
        top = self.stacks.most_common(1)
        return self.frames[top[0][0]] if top else (self.frame,)


def roll_up(rows: Iterable[Row], known: dict[int, Frame]) -> dict[Frame, SiteTotals]:
    """The sites of `rows`, each stack counted where its responsible frame is.

    `known` remembers the responsible frames by stack from one call to the next, for the stacks of `rows`.
    """
    sites: dict[Frame, SiteTotals] = {}
    seen: dict[int, Frame] = {}
    for row in rows:
        frame = seen.get(row.stack_id) or known.get(row.stack_id) or responsible(row.frames)
        seen[row.stack_id] = frame
        totals = sites.get(frame)
        if totals is None:
            totals = sites[frame] = SiteTotals(frame)
        totals.add(row)
    known.clear()
    known.update(seen)
    return sites


class History:
    """Live bytes and objects of at most MAX_SITES sites at the last MAX_POINTS observations.

    At 16 bytes a point this is 1.5 MB when full. When there are more sites, those that have grown most
    since they were first seen stay; a site that comes back starts anew.
    """

    def __init__(self, max_sites: int = MAX_SITES, max_points: int = MAX_POINTS) -> None:
        self._max_sites = max_sites
        self._max_points = max_points
        self._times = array("d")
        self._bytes: dict[Frame, array[float]] = {}
        self._objects: dict[Frame, array[float]] = {}
        self._present: set[Frame] = set()

    def observe(self, now: float, sites: dict[Frame, SiteTotals]) -> None:
        """Add a point at `now`, Unix seconds, to each site kept; a site without samples gets zeros."""
        self._times.append(now)
        del self._times[: -self._max_points]
        for frame in sites:
            if frame not in self._bytes:
                # Without a sample at the last observation it had none: a point too, the start of growth.
                zero = [0.0] if len(self._times) > 1 and frame not in self._present else []
                self._bytes[frame], self._objects[frame] = array("d", zero), array("d", zero)
        self._present = set(sites)
        for frame, values in self._bytes.items():
            totals = sites.get(frame)
            values.append(totals.live_bytes if totals else 0.0)
            self._objects[frame].append(totals.live_objects if totals else 0.0)
            del values[: -self._max_points]
            del self._objects[frame][: -self._max_points]
        self._shrink()

    def points(self, frame: Frame) -> list[tuple[float, float, float]]:
        """(Unix time, live bytes, live objects) of a site; empty for one that isn't kept."""
        values = self._bytes.get(frame, array("d"))
        times = self._times[-len(values) :] if values else array("d")
        return list(zip(times, values, self._objects.get(frame, ()), strict=True))

    def grown(self, least: float) -> list[Frame]:
        """The sites whose live bytes are more than `least` above their lowest so far, most grown first."""
        growth = {frame: _growth(values) for frame, values in self._bytes.items()}
        return sorted((f for f, g in growth.items() if g > least), key=lambda f: -growth[f])

    def _shrink(self) -> None:
        excess = len(self._bytes) - self._max_sites
        if excess > 0:
            for frame in sorted(self._bytes, key=lambda f: _growth(self._bytes[f]))[:excess]:
                del self._bytes[frame], self._objects[frame]


def _growth(values: array[float]) -> float:
    return min(values[-3:]) - min(values)
