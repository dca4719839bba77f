"""A run from set-up to report, in the process that runs the user's file."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from heapwatch_wire.evidence import Call
from heapwatch_wire.sites import Frame

from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.culprits import describe, find, ranked
from heapwatch.leaktest.measure import Recorder
from heapwatch.leaktest.plan import DEPTH, Plan
from heapwatch.leaktest.program import Broken, Program
from heapwatch.leaktest.report import Kind, LeakSite, Report
from heapwatch.leaktest.sites import Site, judge_native, judge_sites
from heapwatch.leaktest.verdict import Judgement
from heapwatch.sampler import Sampler, open_sampler

SETUP_INTERVAL = 4096
ANEW = 5
"""Segments after which an undecided run is judged anew."""
GONE = 0.5
"""Of the growth: what a collection at the end takes away when it was cycles."""
PROBED = 3
"""Steps run once more to see what they call."""
OBJECTS = 0.2
"""Of the growth: what is objects, when they are to blame rather than native memory."""

Progress = Callable[[int, int], None]


class Session:
    """One leak test. `progress` is told steps done and steps to do at most."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress

    def run(self) -> Report:
        """Run the plan's file and judge; Broken when it can't be run."""
        started = time.perf_counter()
        program = Program(self._plan.file, self._plan.seed)
        sampler = open_sampler(SETUP_INTERVAL, DEPTH)
        if sampler.reason:
            raise Broken(f"memory can't be sampled in this Python: {sampler.reason}")
        program.setup()
        recorder = Recorder(sampler, self._plan.interval)
        sites, native = self._decide(program, recorder)
        if any(site.leaks for site in sites):
            report = self._python_leak(program, sites, recorder, sampler)
        elif native.answer == "leak":
            report = self._native_leak(program, native, recorder)
        else:
            report = Report(False, "none", 0.0, (0.0, 0.0), (), self._plan.segment * recorder.segments)
        return replace(report, seconds=round(time.perf_counter() - started, 2))

    def _decide(self, program: Program, recorder: Recorder) -> tuple[list[Site], Judgement]:
        """Run until all sites are decided, one leaks, or the limit is reached."""
        plan = self._plan
        self._progress(0, plan.warmup + plan.steps)
        recorder.segment()
        program.run(0, plan.warmup)
        recorder.look()
        end = plan.segments
        while True:
            for segment in range(recorder.segments, end):
                first = plan.warmup + segment * plan.segment
                recorder.segment()
                program.run(first, plan.segment)
                recorder.look()
                self._progress(first + plan.segment, plan.warmup + end * plan.segment)
            sites, native = judge_sites(recorder, plan), judge_native(recorder, plan)
            answers = {native.answer, *(site.judgement.answer for site in sites)}
            if "leak" in answers or "unsure" not in answers or end >= plan.limit:
                return sites, native
            end = min(plan.limit, end + ANEW)

    def _python_leak(
        self, program: Program, sites: Sequence[Site], recorder: Recorder, sampler: Sampler
    ) -> Report:
        plan, steps = self._plan, self._plan.segment * recorder.segments
        growing = [
            s for s in sites if s.judgement.answer != "no leak" and s.judgement.bytes_per_step >= plan.floor
        ]
        survivors = Survivors(sampler, recorder.segments - 1)
        rate = sum(site.judgement.bytes_per_step for site in growing)
        error = math.hypot(*(site.judgement.error for site in growing))
        kind = self._kind(growing, survivors)
        findings = ranked(find(growing, survivors), sites, survivors)
        if kind == "python" and not gc.isenabled() and _collected(growing, sampler) > GONE:
            kind = "cycle"
        described = describe(findings, lambda: program.run(plan.warmup + steps, PROBED))
        return Report(True, kind, round(rate, 1), _interval(rate, error), tuple(described), steps)

    @staticmethod
    def _kind(growing: Sequence[Site], survivors: Survivors) -> Kind:
        """Whether enough of what grows is objects."""
        rates = [site.judgement.bytes_per_step for site in growing]
        shares = [survivors.share([track.stack_id for track in site.tracks]) for site in growing]
        owned = sum(rate * share for rate, share in zip(rates, shares, strict=True))
        return "python" if owned >= OBJECTS * sum(rates) else "native"

    def _native_leak(self, program: Program, native: Judgement, recorder: Recorder) -> Report:
        code = program.code
        frame = Frame(code.co_qualname, code.co_filename, code.co_firstlineno)
        rate = native.bytes_per_step
        site = LeakSite(
            frame.file, frame.function, frame.line, "", "", round(rate, 1), 0.0, (), (Call.of(frame),)
        )
        return Report(
            True,
            "native",
            round(rate, 1),
            _interval(rate, native.error),
            (site,),
            self._plan.segment * recorder.segments,
        )


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
