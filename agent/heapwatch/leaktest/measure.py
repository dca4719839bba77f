"""What is alive at each look: by allocation site, by segment of birth, and in all.

A look is taken between two steps. Where the program leaves the garbage collector on, it is run first, so
that what only waits for it is no growth. The sampler's label of the thread that runs the steps is the number
of the segment, so each sampled block tells in which segment it was born.
"""

from __future__ import annotations

import gc
import itertools
import math
import sys
import warnings
from collections import defaultdict
from dataclasses import dataclass, field

from heapwatch_wire.sites import Stack

from heapwatch.allocators import find_malloc
from heapwatch.leaks.roots import is_own_file
from heapwatch.sampler import NO_LABEL, Row, Sampler

BEFORE = 2
"""Label of what was allocated before the first segment."""
_first_labels = itertools.count(1000, 1000)
"""One for each recorder of this process: what an earlier one saw born lives on under its labels."""
HARDLY = 1 << 30
"""An interval at which next to nothing is sampled: while we do our own work."""
SMALL = 512
"""Bytes up to which a block is pymalloc's."""


@dataclass
class Track:
    """The live memory that one stack allocated.

    `bytes` and `objects` have a value for each look, the first one before the first segment.
    `born` says how many of the objects of the last look were born in each segment; `unlabelled` are the bytes
    allocated by other threads, whose births are not known.
    """

    stack_id: int
    frames: Stack
    thread: str
    bytes: list[float]
    objects: list[float]
    born: dict[int, float] = field(default_factory=dict)
    unlabelled: float = 0.0


class Recorder:
    """Takes looks, of what is sampled every `interval` bytes on average. `tracks` by stack id; `native` has,
    for each look, the bytes that the C library's malloc has given out to others than Python's allocators.
    """

    def __init__(self, sampler: Sampler, interval: int) -> None:
        self.tracks: dict[int, Track] = {}
        self.native: list[float] = []
        self._sampler = sampler
        self.interval = interval
        self._first = next(_first_labels)
        self._malloc = find_malloc()

    @property
    def sees_native(self) -> bool:
        """Whether the sampler sees what C code allocates, so that `native` says nothing more."""
        return bool(self._sampler.stats().get("native", 0))

    @property
    def segments(self) -> int:
        """How many segments are over."""
        return len(self.native) - 1

    def label(self, segment: int) -> int:
        """The label under which this thread allocates in a segment."""
        return self._first + segment

    def segment(self) -> None:
        """What this thread allocates from now on is born in the segment after the last look."""
        self._sampler.set_label(self.label(self.segments) if self.native else BEFORE)
        self._sampler.set_interval(self.interval)

    def look(self) -> None:
        """Record what is alive now."""
        self._sampler.set_interval(HARDLY)
        _settle()
        rows = self._sampler.export(live=True)
        self.native.append(self._native(rows))
        by_stack: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if not row.frames or not is_own_file(row.frames[0].file):
                by_stack[row.stack_id].append(row)
        for stack_id, track in self.tracks.items():
            self._note(track, by_stack.pop(stack_id, []))
        for stack_id, new in by_stack.items():
            past = [0.0] * self.segments
            track = Track(stack_id, new[0].frames, new[0].thread, past, list(past))
            self.tracks[stack_id] = track
            self._note(track, new)

    def _note(self, track: Track, rows: list[Row]) -> None:
        track.bytes.append(sum(row.inuse_bytes for row in rows))
        track.objects.append(sum(row.inuse_objects for row in rows))
        track.born = defaultdict(float)
        track.unlabelled = 0.0
        for row in rows:
            if row.label >= self._first:
                track.born[row.label - self._first] += row.inuse_objects
            elif row.label == NO_LABEL:
                track.unlabelled += row.inuse_bytes

    def _native(self, rows: list[Row]) -> float:
        """What malloc has given out, less the sampler's padding and Python's blocks.

        Python's are those too large for pymalloc, and sampled small ones (which are moved to malloc): of
        the former all that the samples stand for, of the latter the samples themselves.
        """
        memory = self._malloc.memory()
        if memory is None:
            return 0.0
        python = float(self._sampler.stats()["padding_bytes"])
        for row in rows:
            size = row.inuse_bytes / row.inuse_objects
            python += row.inuse_bytes * (1.0 if size > SMALL else -math.expm1(-size / self.interval))
        return memory.used - python


def _settle() -> None:
    """Free what only waits: garbage, when the program leaves the collector on, and names in the type cache.

    That cache has 4,096 places and keeps the string each attribute was last looked up by, so that names made
    at run time seem to leak until it is full.
    """
    if gc.isenabled():
        gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.13 offers no other way.
        sys._clear_type_cache()
