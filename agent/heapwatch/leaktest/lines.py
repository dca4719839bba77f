"""Which line of Python was running when C code that had released the interpreter allocated.

No Python stack can be taken then, but the thread's label is known all the same. So a few more steps are run
with a label for each line, everything sampled: what of it stays was asked for under that label.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

from heapwatch_wire.sites import Frame, Stack, is_native, responsible

from heapwatch.leaktest.measure import BEFORE, HARDLY
from heapwatch.leaktest.sites import Site
from heapwatch.sampler import Sampler

MAX_STEPS = 30
_labels = itertools.count(1 << 24)


def located(sites: Sequence[Site], sampler: Sampler, step: Callable[[], None]) -> list[Site]:
    """`sites`, those known by native code only moved to the line of Python that ran; `step` runs one more."""
    unknown = {site.tracks[0].stack_id for site in sites if is_native(site.frame)}
    if not unknown:
        return list(sites)
    lines = _Lines(sampler)
    found: dict[int, Stack] = {}
    for _ in range(MAX_STEPS):
        lines.run(step)
        found = lines.stacks_of(unknown)
        if len(found) == len(unknown):
            break
    return [_moved(site, found.get(site.tracks[0].stack_id, ())) for site in sites]


def _moved(site: Site, stack: Stack) -> Site:
    if not stack:
        return site
    first = site.tracks[0]
    tracks = (replace(first, frames=(*first.frames, *stack)), *site.tracks[1:])
    return replace(site, frame=responsible(stack), tracks=tracks)


class _Lines:
    """Labels the lines that this thread runs; `stacks` by label."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._label_of: dict[Stack, int] = {}
        self._stacks: dict[int, Stack] = {}

    def run(self, step: Callable[[], None]) -> None:
        """Run `step` with everything sampled under the label of its line."""
        self._sampler.set_interval(1)
        sys.settrace(self._trace)
        try:
            step()
        finally:
            sys.settrace(None)
            self._sampler.set_interval(HARDLY)
            self._sampler.set_label(BEFORE)

    def stacks_of(self, stack_ids: set[int]) -> dict[int, Stack]:
        """By stack without Python, the stack of Python under which most of it that lives was allocated."""
        bytes_of: dict[int, Counter[int]] = {}
        for row in self._sampler.totals(live=True):
            if row.stack_id in stack_ids and row.label in self._stacks:
                bytes_of.setdefault(row.stack_id, Counter())[row.label] += round(row.inuse_bytes)
        return {stack: self._stacks[labels.most_common(1)[0][0]] for stack, labels in bytes_of.items()}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        stack = _stack(frame.f_back if event == "return" else frame)
        label = self._label_of.get(stack)
        if label is None:
            label = self._label_of[stack] = next(_labels)
            self._stacks[label] = stack
        self._sampler.set_label(label)
        return self._trace


def _stack(frame: FrameType | None) -> Stack:
    frames = []
    while frame is not None:
        frames.append(Frame(frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(frames)
