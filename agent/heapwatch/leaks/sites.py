"""The sampler's rows rolled up to allocation sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from heapwatch_wire.sites import Frame, Stack, responsible

from heapwatch.sampler import Level, Totals

Frames = Callable[[int], Stack]

Levels = dict[Frame, list[float]]
"""Live bytes and live objects of each site."""


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


class Responsible:
    """The responsible frame of each stack, remembered as long as the stack is seen; one object per frame."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._of: dict[int, Frame] = {}

    def of(self, stack_ids: Iterable[int]) -> dict[int, Frame]:
        """The responsible frames of stacks by their ids; others are forgotten."""
        found = {stack_id: self._of.get(stack_id) for stack_id in stack_ids}
        new = [stack_id for stack_id, frame in found.items() if frame is None]
        if new:
            names = {frame: frame for frame in found.values() if frame is not None}
            for stack_id in new:
                frame = responsible(self._frames(stack_id))
                found[stack_id] = names.setdefault(frame, frame)
        self._of = cast(dict[int, Frame], found)
        return self._of


def levels(parts: Sequence[Level], responsible: Responsible) -> Levels:
    """Live bytes and objects of the sites of `parts`."""
    known = responsible.of(stack_id for stack_id, _, _ in parts)
    sites: Levels = {}
    for stack_id, size, objects in parts:
        frame = known[stack_id]
        level = sites.get(frame)
        if level is None:
            sites[frame] = [size, objects]
        else:
            level[0] += size
            level[1] += objects
    return sites


def roll_up(
    rows: Iterable[Totals], known: Mapping[int, Frame], only: Container[Frame] | None = None
) -> dict[Frame, SiteTotals]:
    """The sites of `rows`, or those of them in `only`, in detail: dearer than `levels`."""
    sites: dict[Frame, SiteTotals] = {}
    for row in rows:
        frame = known[row.stack_id]
        if only is not None and frame not in only:
            continue
        totals = sites.get(frame)
        if totals is None:
            totals = sites[frame] = SiteTotals(frame)
        totals.add(row)
    return sites
