"""Memory of named pieces of work: RSS before and after, and the peak in between that RSS alone hides.

The kernel keeps the largest RSS of a process (VmHWM) and lets it be reset. Each reading of the mark goes to
every phase that is open, and a phase that begins resets the mark. The peak of a phase is the largest mark
read inside it: exact for any nesting and overlap, at no cost between the readings. It is the peak of the
process: what other threads and tasks use meanwhile is in it.

Where the mark may not be reset, the sampler's takes its place: the most bytes that lived between two
readings. They are bytes of Python and not of RSS, so what they rose above either reading is added to RSS at
that reading, and the lower sum counts: after a spike malloc may keep its pages, before one it may have kept
others. The kernel's mark, as far as it goes, is the bound.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import WeakSet

from heapwatch_wire.metric import DURATION_BUCKETS

from heapwatch.decorating import Function, run_within
from heapwatch.failures import logger
from heapwatch.process import ProcessReader, Resident
from heapwatch.threads import new_rlock

if TYPE_CHECKING:
    from threading import RLock

Source: TypeAlias = Literal["kernel", "sampler", "readings"]

MAX_NAMES = 100
OTHER = "(other)"

_MIB = 1 << 20
_SAID: dict[Source, str] = {"kernel": "", "sampler": "about ", "readings": "at least "}


@dataclass(frozen=True)
class PhaseReport:
    """A phase that ended, or a checkpoint. Bytes and seconds.

    `delta` is `rss` less that at the beginning of the phase; of a checkpoint less that at the checkpoint
    before, or at the beginning. `peak` is the largest RSS since then, and `source` says who knows it. The
    kernel does exactly, unless it lets nobody reset its mark. Then it is the sampler's estimate, or, without
    a sampler, the largest of the readings: the true one may be higher. `process_peak` is the largest RSS of
    the process so far.
    """

    name: str
    seconds: float
    rss: int
    delta: int
    peak: int
    source: Source
    process_peak: int

    @property
    def exact(self) -> bool:
        """Whether the kernel says the peak."""
        return self.source == "kernel"

    def __str__(self) -> str:
        return (
            f"{self.name}: rss {_mib(self.rss)} ({self.delta / _MIB:+.1f} MiB),"
            f" peak {_SAID[self.source]}{_mib(self.peak)} in {self.seconds:.3f} s,"
            f" peak since start {_mib(self.process_peak)}"
        )


@dataclass
class Stretch:
    """Some time whose peak is wanted: `mark` is the kernel's mark that doesn't belong to it."""

    began: float
    rss: int
    mark: int
    peak: int
    source: Source = "sampler"

    def note(self, now: Resident, estimate: int | None) -> None:
        """Take in a reading, and what the sampler says of the time since the one before (None: nothing)."""
        if now.peak > self.mark:
            self.peak, self.source = max(self.peak, now.peak), "kernel"
        elif estimate is None:
            self.source = "readings"
        self.peak = max(self.peak, now.rss, estimate or 0)


@dataclass(eq=False)
class Span:
    """A phase that is open, or closed when it has a `report`; None also when /proc could not be read."""

    name: str
    parent: Span | None
    whole: Stretch | None = None
    since_checkpoint: Stretch | None = None
    report: PhaseReport | None = None

    @property
    def stretches(self) -> list[Stretch]:
        """What a reading goes to."""
        return [stretch for stretch in (self.whole, self.since_checkpoint) if stretch is not None]


@dataclass
class Runs:
    """What the runs of a phase add up to: counts of DURATION_BUCKETS and one more, seconds, bytes.

    `highest` is the largest peak, `growth` that of the last run.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BUCKETS) + 1))
    seconds: float = 0.0
    highest: int = 0
    growth: int = 0


class Peaks:
    """The largest peak of each phase since its reader asked before; of one that hasn't, the same again."""

    def __init__(self, runs: Mapping[str, Runs]) -> None:
        self._told: dict[str, int] = {}
        self._since = {name: known.highest for name, known in runs.items()}

    def note(self, name: str, peak: int) -> None:
        """A phase has ended."""
        self._since[name] = max(peak, self._since.get(name, 0))

    def take(self) -> dict[str, int]:
        """By name; asks."""
        self._told.update(self._since)
        self._since.clear()
        return dict(self._told)


@dataclass(frozen=True)
class Level:
    """RSS and live bytes at a reading."""

    rss: int
    live: float


class Phases:
    """The phases of this process. One costs about 55 µs, most of it to read /proc/self/status twice.

    `high_water` is the sampler's (heapwatch.sampler.Sampler), for nobody else to call.
    """

    def __init__(
        self, reader: ProcessReader | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._reader = reader or ProcessReader()
        self._clock = clock
        self.high_water: Callable[[], tuple[float, float] | None] = lambda: None
        self._current: ContextVar[Span | None] = ContextVar("heapwatch_phase", default=None)
        self._outside: Stretch | None = None
        self._runs: dict[str, Runs] = {}
        self._readers: WeakSet[Peaks] = WeakSet()
        self._reset()

    def begin(self, name: str) -> Span:
        """Open a phase inside the one that is open in this task or thread."""
        parent = self._current.get()
        span = Span(f"{parent.name}/{name}" if parent else name, parent)
        self._current.set(span)
        with self._renewed():
            now = self._fold()
            if now is not None:
                self._open[id(span)] = span
                span.whole = self._stretch(now)
        return span

    def end(self, span: Span) -> PhaseReport | None:
        """Close `span`: its report goes to the log and to the metrics."""
        self._current.set(span.parent)
        with self._renewed():
            now = self._fold()
            opened = self._open.pop(id(span), None)
            if now is None or opened is None or span.whole is None:
                return None
            span.report = self._report(span.name, span.whole, now)
            self._count(span.report)
        logger.info("heapwatch: phase %s", span.report)
        return span.report

    def checkpoint(self, name: str) -> PhaseReport | None:
        """A report of the time since the checkpoint before, in the open phase or outside of all."""
        span = self._current.get()
        with self._renewed():
            now = self._fold()
            if now is None:
                return None
            opened = span if span is not None and id(span) in self._open else None
            before = (opened.since_checkpoint or opened.whole) if opened else self._outside
            report = self._report(f"{span.name}/{name}" if span else name, before or self._stretch(now), now)
            after = self._stretch(now)
            if opened:
                opened.since_checkpoint = after
            else:
                self._outside = after
        logger.info("heapwatch: checkpoint %s", report)
        return report

    def runs(self) -> dict[str, Runs]:
        """A copy of the totals by name."""
        with self._renewed():
            return {name: replace(runs, counts=list(runs.counts)) for name, runs in self._runs.items()}

    def peaks(self) -> Peaks:
        """Peaks for one more reader, to be given to `deliver`."""
        with self._renewed():
            peaks = Peaks(self._runs)
            self._readers.add(peaks)
            return peaks

    def deliver(self, peaks: Peaks) -> dict[str, tuple[Runs, int]]:
        """The totals by name, and the largest peak since the last delivery to the reader that has `peaks`."""
        with self._renewed():
            taken = peaks.take()
            return {name: (runs, taken[name]) for name, runs in self.runs().items() if name in taken}

    def _reset(self) -> None:
        self._pid = os.getpid()
        # Re-entrant: a collection inside may run a finalizer that opens a phase.
        self._lock = new_rlock()
        self._open: dict[int, Span] = {}
        self._outside = None
        self._level: Level | None = None

    def _renewed(self) -> RLock:
        """The lock; in a forked child a new one, as the parent's may be taken and its phases aren't here."""
        if self._pid != os.getpid():
            self._reset()
            self._runs = {}
        return self._lock

    def _fold(self) -> Resident | None:
        """Read, give the reading to all that is open."""
        try:
            now = self._reader.resident()
        except OSError as error:
            logger.debug("heapwatch: no phases: %s", error)
            return None
        estimate = self._estimate(now)
        for stretch in self._stretches():
            stretch.note(now, estimate)
        return now

    def _estimate(self, now: Resident) -> int | None:
        """The largest RSS since the reading before, by the sampler; None when it doesn't know."""
        before, marks = self._level, self.high_water()
        if marks is None:
            self._level = None
            return None
        live, highest = marks
        self._level = Level(now.rss, live)
        if before is None:
            return None
        estimate = min(before.rss + highest - before.live, now.rss + highest - live)
        return min(round(estimate), now.peak)

    def _stretch(self, now: Resident) -> Stretch:
        """Begin a stretch, with the mark reset where that is allowed."""
        mark = now.peak
        if self._reader.reset_peak(now):
            mark = 0
            for stretch in self._stretches():
                stretch.mark = 0
        return Stretch(self._clock(), now.rss, mark, now.rss)

    def _stretches(self) -> list[Stretch]:
        found = [stretch for span in self._open.values() for stretch in span.stretches]
        return found if self._outside is None else [*found, self._outside]

    def _report(self, name: str, stretch: Stretch, now: Resident) -> PhaseReport:
        return PhaseReport(
            name,
            self._clock() - stretch.began,
            now.rss,
            now.rss - stretch.rss,
            stretch.peak,
            stretch.source,
            now.highest,
        )

    def _count(self, report: PhaseReport) -> None:
        known = report.name in self._runs or len(self._runs) < MAX_NAMES
        name = report.name if known else OTHER
        runs = self._runs.setdefault(name, Runs())
        runs.counts[bisect_left(DURATION_BUCKETS, report.seconds)] += 1
        runs.seconds += report.seconds
        runs.growth = report.delta
        runs.highest = max(runs.highest, report.peak)
        for reader in self._readers:
            reader.note(name, report.peak)


class Phase:
    """A phase to come: `with` it once, or decorate any number of functions, also coroutine functions."""

    def __init__(self, phases: Phases, name: str) -> None:
        self._phases = phases
        self._name = name
        self._span: Span | None = None

    def __enter__(self) -> Span:
        self._span = self._phases.begin(self._name)
        return self._span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is not None:
            self._phases.end(self._span)

    def __call__(self, function: Function) -> Function:
        return run_within(function, "phase", lambda: Phase(self._phases, self._name))


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"
