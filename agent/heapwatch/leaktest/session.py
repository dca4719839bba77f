"""A run from set-up to report, in the process that runs the user's file."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence

from heapwatch_wire.evidence import Call
from heapwatch_wire.sites import Frame

from heapwatch.leaktest.blocks import Survivors
from heapwatch.leaktest.culprits import describe
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
        sampler.set_interval(self._plan.interval)
        recorder = Recorder(sampler)
        sites, native = self._decide(program, recorder)
        leaking = [site for site in sites if site.leaks]
        steps = self._plan.segment * recorder.segments
        seconds = time.perf_counter() - started
        if leaking:
            return self._python_leak(leaking, recorder, sampler, steps, seconds)
        if native.answer == "leak":
            return self._native_leak(program, native, steps, seconds)
        return Report(False, "none", 0.0, (0.0, 0.0), (), steps, round(seconds, 2))

    def _decide(self, program: Program, recorder: Recorder) -> tuple[list[Site], Judgement]:
        """Run until all sites are decided, one leaks, or the limit is reached."""
        plan = self._plan
        self._progress(0, plan.warmup + plan.steps)
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
        self, leaking: Sequence[Site], recorder: Recorder, sampler: Sampler, steps: int, seconds: float
    ) -> Report:
        survivors = Survivors(sampler, recorder.segments - 1)
        rate = sum(site.judgement.bytes_per_step for site in leaking)
        error = math.hypot(*(site.judgement.error for site in leaking))
        owned = sum(
            site.judgement.bytes_per_step * survivors.share([t.stack_id for t in site.tracks])
            for site in leaking
        )
        described = describe(leaking, survivors)
        kind: Kind = "python" if owned >= OBJECTS * rate else "native"
        if not gc.isenabled() and _collected(leaking, sampler) > GONE:
            kind = "cycle"
        interval = (round(rate - 2 * error, 1), round(rate + 2 * error, 1))
        return Report(True, kind, round(rate, 1), interval, tuple(described), steps, round(seconds, 2))

    def _native_leak(self, program: Program, native: Judgement, steps: int, seconds: float) -> Report:
        rate, error = native.bytes_per_step, native.error
        site = LeakSite(
            file=program.code.co_filename,
            function=program.code.co_qualname,
            line=program.code.co_firstlineno,
            type="",
            module="",
            bytes_per_step=round(rate, 1),
            count_per_step=0.0,
            holders=(),
            stack=(
                Call.of(
                    Frame(program.code.co_qualname, program.code.co_filename, program.code.co_firstlineno)
                ),
            ),
        )
        interval = (round(rate - 2 * error, 1), round(rate + 2 * error, 1))
        return Report(True, "native", round(rate, 1), interval, (site,), steps, round(seconds, 2))


def _collected(leaking: Sequence[Site], sampler: Sampler) -> float:
    """The fraction of the leaking sites' live memory that a garbage collection frees."""
    stacks = {track.stack_id for site in leaking for track in site.tracks}

    def live() -> float:
        return sum(row.inuse_bytes for row in sampler.export(live=True) if row.stack_id in stacks)

    before = live()
    gc.collect()
    return 1 - live() / before if before else 0.0
