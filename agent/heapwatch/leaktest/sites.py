"""Allocation sites of a run, each judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from heapwatch_wire.sites import Frame, is_native, responsible

from heapwatch.leaktest.measure import Recorder, Track
from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.verdict import Judgement, Run, Series, judge

NATIVE_FLOOR = 24.0
"""Bytes a step below which growth of malloc's memory is no leak: it is a level, not told by births."""
MAX_UNLABELLED = 0.2


@dataclass(frozen=True)
class Site:
    """What one line allocated: the tracks of its stacks, heaviest first, and the judgement."""

    frame: Frame
    tracks: tuple[Track, ...]
    judgement: Judgement

    @property
    def leaks(self) -> bool:
        return self.judgement.answer == "leak"

    @property
    def library(self) -> str:
        """The shared library that asked for most of the memory, "" when it was Python."""
        first = self.tracks[0].frames[:1]
        return first[0].file if first and is_native(first[0]) else ""


def judge_sites(recorder: Recorder, plan: Plan) -> list[Site]:
    """All sites, those that grow fastest first."""
    by_frame: dict[Frame, list[Track]] = defaultdict(list)
    for track in recorder.tracks.values():
        by_frame[responsible(track.frames)].append(track)
    run = _run(recorder, plan)
    sites = [_site(frame, tracks, run) for frame, tracks in by_frame.items()]
    return sorted(sites, key=lambda s: -s.judgement.bytes_per_step)


def judge_native(recorder: Recorder, plan: Plan) -> Judgement:
    """The answer for memory that C code took from malloc."""
    if recorder.sees_native:
        return Judgement("no leak", why="native memory is judged by its sites")
    nothing = [0.0] * len(recorder.native)
    series = Series(recorder.native, nothing, sample=float(recorder.interval))
    run = _run(recorder, plan)
    return judge(series, replace(run, floor=max(run.floor, NATIVE_FLOOR)))


def _run(recorder: Recorder, plan: Plan) -> Run:
    last = recorder.segments >= plan.limit
    return Run(plan.warmup, plan.segment, recorder.interval, plan.floor, last)


def _site(frame: Frame, tracks: Sequence[Track], run: Run) -> Site:
    levels = _sums(track.bytes for track in tracks)
    objects = _sums(track.objects for track in tracks)
    born: dict[int, float] = defaultdict(float)
    for track in tracks:
        for segment, count in track.born.items():
            born[segment] += count
    known = sum(track.unlabelled for track in tracks) <= MAX_UNLABELLED * levels[-1]
    series = Series(levels, objects, born if known else None)
    ordered = sorted(tracks, key=lambda track: track.bytes[0] - track.bytes[-1])
    return Site(frame, tuple(ordered), judge(series, run))


def _sums(columns: Iterable[Sequence[float]]) -> list[float]:
    return [sum(values) for values in zip(*columns, strict=True)]
