"""A run from the first step to the report, in the process that runs the steps."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import CodeType
from typing import Protocol

from heapwatch_wire.evidence import Call
from heapwatch_wire.sites import Frame

from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.culprits import describe, find
from heapwatch.leaktest.lines import located
from heapwatch.leaktest.measure import BEFORE, Recorder
from heapwatch.leaktest.plan import DEPTH, Plan
from heapwatch.leaktest.position import Position
from heapwatch.leaktest.program import Broken, Program
from heapwatch.leaktest.report import Kind, LeakSite, Report
from heapwatch.leaktest.sites import Site, judge_native, judge_sites
from heapwatch.leaktest.verdict import Judgement
from heapwatch.sampler import Sampler, open_sampler

SETUP_INTERVAL = 4096
ANEW = 5
"""Segments after which an undecided run is judged anew."""
TOLERATED = 0.5
"""Of a step's time: what sampling may take."""
SPARSEST = 6.0
"""Times the planned interval, at most: samples have to tell whether growth goes on."""
GONE = 0.5
"""Of the growth: what a collection at the end takes away when it was cycles."""
PROBED = 3
"""Steps run once more to see what they call."""
OBJECTS = 16.0
"""Bytes a step of objects that stay: then they are to blame, and what native memory grows belongs to them."""

Progress = Callable[[int, int], None]
"""Is told steps done, and steps to do as far as is known."""


class Steps(Protocol):
    """What is tested: `run` runs steps `first` to `first + count - 1`, `code` is that of a step."""

    @property
    def code(self) -> CodeType: ...
    def run(self, first: int, count: int) -> None: ...


def test_file(plan: Plan, progress: Progress, position: Position) -> Report:
    """Load the plan's file, run it and judge; Broken when it can't be run."""
    program = Program(plan.file, plan.seed, position)
    sampler = started_sampler()
    program.setup()
    return Session(plan, program, sampler, progress).run()


def started_sampler() -> Sampler:
    """A sampler, as yet with hardly any samples; Broken, saying why, where there can't be one."""
    sampler = open_sampler(SETUP_INTERVAL, DEPTH)
    if sampler.reason:
        raise Broken(f"memory can't be sampled in this Python: {sampler.reason}")
    sampler.set_label(BEFORE)
    return sampler


class Session:
    """One leak test, from the first step to the report."""

    def __init__(self, plan: Plan, program: Steps, sampler: Sampler, progress: Progress) -> None:
        self._plan = plan
        self._program = program
        self._sampler = sampler
        self._progress = progress
        self._recorder = Recorder(sampler, plan.interval)
        self._unmeasured = 0

    def run(self) -> Report:
        """Run the steps and judge."""
        started = time.perf_counter()
        sites, native = self._decide()
        if any(site.leaks for site in sites):
            report = self._leak(sites)
        elif native.answer == "leak":
            report = self._native_leak(native)
        else:
            report = Report(False, "none", 0.0, (0.0, 0.0), (), self._steps)
        return replace(report, seconds=round(time.perf_counter() - started, 2))

    @property
    def _steps(self) -> int:
        return self._plan.segment * self._recorder.segments

    def _decide(self) -> tuple[list[Site], Judgement]:
        """Run until all sites are decided, one leaks, or the limit is reached."""
        plan, recorder = self._plan, self._recorder
        self._progress(0, plan.warmup + plan.steps)
        self._warm_up()
        recorder.look()
        end = plan.segments
        while True:
            while recorder.segments < end:
                recorder.segment()
                self._program.run(plan.warmup + self._steps, plan.segment)
                recorder.look()
                self._progress(plan.warmup + self._steps, plan.warmup + end * plan.segment)
            sites, native = judge_sites(recorder, plan), judge_native(recorder, plan)
            answers = {native.answer, *(site.judgement.answer for site in sites)}
            if "leak" in answers or "unsure" not in answers or end >= plan.limit:
                return sites, native
            end = min(plan.limit, end + ANEW)

    def _warm_up(self) -> None:
        """Run the warm-up; when sampling makes its second half much slower, sample less densely."""
        half = self._plan.warmup // 2
        started = time.perf_counter()
        self._program.run(0, half)
        middle = time.perf_counter()
        self._recorder.segment()
        self._program.run(half, self._plan.warmup - half)
        plain, sampled = middle - started, time.perf_counter() - middle
        if plain > 0:
            sparser = (sampled - plain) / (TOLERATED * plain)
            self._recorder.interval = round(self._plan.interval * min(SPARSEST, max(1.0, sparser)))

    def _leak(self, sites: Sequence[Site]) -> Report:
        plan = self._plan
        growing = [
            s for s in sites if s.judgement.answer != "no leak" and s.judgement.bytes_per_step >= plan.floor
        ]
        before = self._recorder.label(self._recorder.segments - 1)
        survivors = Survivors(self._sampler, before, self._recorder.tracks.values())
        growing = located(growing, self._sampler, lambda: self._more(1))
        rate = sum(site.judgement.bytes_per_step for site in growing)
        error = math.hypot(*(site.judgement.error for site in growing))
        kind = _kind(growing, survivors)
        found = find(growing, sites, survivors)
        described = describe(found, lambda: self._more(PROBED))
        del found  # It holds some of the objects.
        if kind == "python" and not gc.isenabled() and _collected(growing, self._sampler) > GONE:
            kind = "cycle"
        return Report(True, kind, round(rate, 1), _interval(rate, error), tuple(described), self._steps)

    def _more(self, count: int) -> None:
        """Run `count` steps that aren't measured."""
        self._program.run(self._plan.warmup + self._steps + self._unmeasured, count)
        self._unmeasured += count

    def _native_leak(self, native: Judgement) -> Report:
        code, rate = self._program.code, native.bytes_per_step
        frame = Frame(code.co_qualname, code.co_filename, code.co_firstlineno)
        site = LeakSite(
            frame.file, frame.function, frame.line, "", "", round(rate, 1), 0.0, (), (Call.of(frame),)
        )
        return Report(True, "native", round(rate, 1), _interval(rate, native.error), (site,), self._steps)


def _kind(growing: Sequence[Site], survivors: Survivors) -> Kind:
    """Whether enough of what grows is objects."""
    rates = [site.judgement.bytes_per_step for site in growing]
    shares = [survivors.share(site.tracks) for site in growing]
    owned = sum(rate * share for rate, share in zip(rates, shares, strict=True))
    return "python" if owned >= OBJECTS else "native"


def _interval(rate: float, error: float) -> tuple[float, float]:
    """The 95% interval."""
    return round(rate - 2 * error, 1), round(rate + 2 * error, 1)


def _collected(leaking: Sequence[Site], sampler: Sampler) -> float:
    """The fraction of the leaking sites' live memory that a garbage collection frees."""
    stacks = {track.stack_id for site in leaking for track in site.tracks}

    def live() -> float:
        return sum(row.inuse_bytes for row in sampler.export(live=True) if row.stack_id in stacks)

    before = live()
    gc.collect()
    return 1 - live() / before if before else 0.0
