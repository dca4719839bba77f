"""Suspicion inside the process: which sites grow, of what type, held by what."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from heapwatch_wire.evidence import Call, Evidence, Growth, Point, Share, Site
from heapwatch_wire.growth import THRESHOLDS, Finding, Series, discoveries, judge
from heapwatch_wire.settings import AgentSettings
from heapwatch_wire.sites import Frame, is_native, own_caller, site_id
from heapwatch_wire.trend import slope_of

from heapwatch.identity import Identity
from heapwatch.leaks.history import History
from heapwatch.leaks.holders import HolderSearch, Outcome, Wanted
from heapwatch.leaks.pace import Pace
from heapwatch.leaks.roots import is_own_file
from heapwatch.leaks.sites import Frames, Levels, Responsible, SiteTotals, levels, roll_up
from heapwatch.leaks.survival import STAYING, Stay, stay, survival
from heapwatch.sampler import Sampler, Totals
from heapwatch.threads import new_rlock, sleep

# Seconds between two looks, the share of a core that they may cost, and the longest time between two.
OBSERVE = (2.0, 0.002, 12.0)
JUDGE = (10.0, 0.001, 60.0)
SEARCH = (1.0, 0.05, 600.0)
SEARCH_AGAIN = 600.0
SEARCH_AGAIN_IF_NOTHING = 60.0
FORGET_AFTER = 600.0
LEAST_SAMPLES = 5
MAX_JUDGED = 24
MAX_SUSPECTS = 32
MAX_SEARCHED = 8
STACKS_LOOKED_AT = 8
SERIES_SHOWN = 60
ENDPOINTS_SHOWN = 5
STACK_SHOWN = 40


@dataclass
class Suspect:
    """A site that has grown, what the growth test says, and what its holder search found so far."""

    frame: Frame
    finding: Finding = field(default_factory=lambda: Finding("learning"))
    growth: Growth = field(default_factory=lambda: Growth(0.0, 0.0, 0.0, 0.0))
    seen: float = 0.0
    searched: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def suspected(self) -> bool:
        """Whether the growth test suspects it."""
        return self.finding.decision in ("leak", "suspicion")

    def search_due(self, now: float) -> bool:
        """Whether its holders are to be searched, for the first time or anew."""
        return now - self.searched >= (SEARCH_AGAIN if self.outcome.holders else SEARCH_AGAIN_IF_NOTHING)


class LeakTracker:
    """Observes the sampler, judges its sites, searches what holds the objects of those that grow.

    `observe` may be called as often as every quarter of a second: each call does at most one slice of a
    holder search, and looks at the sampler only when that is due. Safe to use from several threads.
    """

    def __init__(self, sampler: Sampler, settings: AgentSettings, identity: Identity) -> None:
        self._sampler = sampler
        self._settings = settings
        self._identity = identity
        self._lock = new_rlock()
        self._history = History()
        self._levels: Levels = {}
        self._details: dict[Frame, SiteTotals] = {}
        self._suspects: dict[Frame, Suspect] = {}
        self._responsible = Responsible(sampler.frames)
        self._observing, self._judging, self._searching = Pace(*OBSERVE), Pace(*JUDGE), Pace(*SEARCH)
        self._observed = self._judged = 0.0
        self._running: HolderSearch | None = None
        self._sought: list[Suspect] = []

    def observe(self, now: float) -> None:
        """Do what is due at `now` (Unix seconds); called by the agent's background thread."""
        with self._lock:
            if self._observing.due(now):
                with self._observing.work(now):
                    self._look(now)
            if self._judging.due(now):
                with self._judging.work(now):
                    self._judge(now)
            if self._settings.holders and self._searching.due(now):
                self._search(now)

    def documents(self) -> list[Evidence]:
        """A document for each site that grows or whose holders are known, the fastest first.

        More than what is suspected here: a leak that several processes prove together may be weak in each.
        """
        with self._lock:
            return self._documents(lambda suspect: suspect.suspected or bool(suspect.outcome.type))

    def suspicions(self) -> list[Evidence]:
        """A document for each site that by itself looks like a leak in this process, the fastest first."""
        with self._lock:
            return self._documents(lambda suspect: suspect.suspected)

    def _documents(self, chosen: Callable[[Suspect], bool]) -> list[Evidence]:
        current = [s for s in self._suspects.values() if s.seen >= self._judged and chosen(s)]
        return [self._document(s) for s in sorted(current, key=lambda s: -s.growth.bytes_per_second)]

    def sites(self) -> dict[Frame, SiteTotals]:
        """All sites as of now, with what they have allocated and freed."""
        with self._lock:
            return self._in_detail(self._sampler.totals())

    def points(self, frame: Frame) -> list[tuple[float, float, float]]:
        """(Unix time, live bytes, live objects) of a site's recent past."""
        with self._lock:
            return self._history.points(frame)

    def status(self) -> dict[str, Any]:
        """What the tracker does and what it costs, as JSON values; CPU in seconds."""
        with self._lock:
            paces = {"observe": self._observing, "judge": self._judging, "search": self._searching}
            return {
                "sites": len(self._levels),
                "grown": len(self._suspects),
                "suspected": sum(s.suspected for s in self._suspects.values()),
                "searching": self._running is not None,
                **{name: {"times": p.times, "cpu": round(p.cpu, 3)} for name, p in paces.items()},
            }

    def hold(self, identifier: str, limit: float) -> tuple[Site, Outcome] | None:
        """Search now, for at most `limit` seconds, what holds the objects of the site with this id.

        Sleeps between slices, so it is for the control thread. None when there is no such site.
        """
        totals = next((t for f, t in self.sites().items() if site_id(f) == identifier), None)
        if totals is None:
            return None
        search = HolderSearch(self._sampler, [_wanted(totals)], self._settings.holders_budget)
        deadline = time.monotonic() + limit
        while not search.advance() and time.monotonic() < deadline:
            sleep(2 * self._settings.holders_budget)
        return describe_site(totals, self._sampler.frames), search.outcomes()[0]

    def _look(self, now: float) -> None:
        self._observed = now
        self._levels = levels(list(self._sampler.levels()), self._responsible)
        if now - self._identity.started >= THRESHOLDS.warmup:
            self._history.observe(now, self._levels)

    def _in_detail(
        self, rows: Sequence[Totals], only: Container[Frame] | None = None
    ) -> dict[Frame, SiteTotals]:
        return roll_up(rows, self._responsible.of(row.stack_id for row in rows), only)

    def _judge(self, now: float) -> None:
        self._judged = now
        interval = float(self._sampler.stats().get("interval", 0) or self._settings.sampling_interval)
        grown = (f for f in self._history.grown(LEAST_SAMPLES * interval) if not is_own_file(f.file))
        series = {frame: self._history.points(frame) for frame in islice(grown, MAX_JUDGED)}
        findings = [judge([Series(points, interval, self._identity.started)]) for points in series.values()]
        decided = discoveries(findings, len(self._levels))
        for (frame, points), finding in zip(series.items(), decided, strict=True):
            suspect = self._suspects.setdefault(frame, Suspect(frame))
            suspect.finding, suspect.seen = finding, now
            suspect.growth = finding.growth or _slope(points)
        # A site that rests keeps what is known of its holders for a while.
        kept = sorted(self._suspects.values(), key=lambda s: -s.seen)[:MAX_SUSPECTS]
        self._suspects = {s.frame: s for s in kept if now - s.seen < FORGET_AFTER}
        self._details = (
            self._in_detail(self._sampler.totals(live=True), self._suspects) if self._suspects else {}
        )
        self._ask_for_survival(interval)

    def _ask_for_survival(self, interval: float) -> None:
        """Let the suspected sites tell whether their objects stay: what is turned over is no leak."""
        stacks = {
            frame: [stack for stack, _ in totals.stacks.most_common(STACKS_LOOKED_AT)]
            for frame, totals in self._details.items()
            if self._suspects[frame].suspected
        }
        if not stacks:
            return
        lifetimes = self._sampler.lifetimes(stack for own in stacks.values() for stack in own)
        for frame, own in stacks.items():
            suspect = self._suspects[frame]
            found = survival(lifetimes[stack] for stack in own if stack in lifetimes)
            stays = stay(found, suspect.finding.statistics["span"], interval)
            if stays is not None:
                suspect.finding = _with_survival(suspect.finding, stays)

    def _search(self, now: float) -> None:
        """One slice of the search that runs, or of a new one for the suspects whose search is due."""
        if self._running is None:
            self._sought = self._due(now)
            if not self._sought:
                return
            wanted = [_wanted(self._details[suspect.frame]) for suspect in self._sought]
            self._running = HolderSearch(self._sampler, wanted, self._settings.holders_budget)
        if self._running.advance():
            for suspect, outcome in zip(self._sought, self._running.outcomes(), strict=True):
                suspect.searched, suspect.outcome = now, outcome
            self._searching.spent(now, self._running.cpu)
            self._running = None

    def _due(self, now: float) -> list[Suspect]:
        """Of the surest and fastest suspects those that were not searched, or long ago."""
        current = [s for s in self._suspects.values() if s.seen >= self._judged and s.frame in self._details]
        current.sort(key=lambda s: (-s.suspected, -s.growth.bytes_per_second))
        return [suspect for suspect in current[:MAX_SEARCHED] if suspect.search_due(now)]

    def _document(self, suspect: Suspect) -> Evidence:
        finding, frame = suspect.finding, suspect.frame
        totals = self._details.get(frame) or SiteTotals(frame)
        live_bytes, live_objects = self._levels.get(frame, (0.0, 0.0))
        points = self._history.points(frame)[-SERIES_SHOWN:]
        return Evidence(
            verdict="leak" if finding.decision == "leak" else "suspicion",
            service=self._identity.service,
            version=self._identity.version,
            site=describe_site(totals, self._sampler.frames),
            type=suspect.outcome.type,
            live_bytes=live_bytes,
            live_objects=live_objects,
            growth=suspect.growth,
            time=self._observed,
            series=tuple(Point(*p) for p in points),
            statistics=finding.statistics,
            thresholds=finding.thresholds,
            reasons=finding.reasons + suspect.outcome.reasons,
            holders=tuple(suspect.outcome.holders),
            endpoints=self.endpoints(totals),
            kind="native" if self._is_native(totals) else suspect.outcome.kind,
        )

    def _is_native(self, totals: SiteTotals) -> bool:
        """Whether C code asked for most of the memory, past Python's allocators."""
        return any(map(is_native, totals.heaviest_stack(self._sampler.frames)[:1]))

    def endpoints(self, totals: SiteTotals) -> tuple[Share, ...]:
        """Which endpoints made what lives of a site."""
        whole = sum(totals.labels.values())
        names = self._sampler.labels
        return tuple(
            Share(names.name(label), size / whole)
            for label, size in totals.labels.most_common(ENDPOINTS_SHOWN)
        )


def _with_survival(finding: Finding, stays: Stay) -> Finding:
    return replace(
        finding,
        decision="suspicion" if stays.turned_over else finding.decision,
        statistics={**finding.statistics, "stays": stays.share, "outlives_requests": stays.old},
        thresholds={**finding.thresholds, "stays": STAYING},
        reasons=(*finding.reasons, str(stays)),
    )


def _wanted(totals: SiteTotals) -> Wanted:
    threads = totals.threads.most_common(1)
    stacks = [stack for stack, _ in totals.stacks.most_common(STACKS_LOOKED_AT)]
    return Wanted(stacks, threads[0][0] if threads else "")


def _slope(points: Sequence[tuple[float, float, float]]) -> Growth:
    """A first estimate, before there is enough to judge; without an interval."""
    times, sizes, counts = zip(*points, strict=True)
    rate = slope_of(times, sizes)
    return Growth(rate, rate, rate, slope_of(times, counts))


def describe_site(totals: SiteTotals, frames: Frames) -> Site:
    """The site of `totals` with its heaviest stack."""
    stack = totals.heaviest_stack(frames)
    caller = own_caller(stack)
    frame = totals.frame
    return Site(
        site_id(frame),
        frame.function,
        frame.file,
        frame.line,
        Call.of(caller) if caller else None,
        tuple(Call.of(f) for f in stack[:STACK_SHOWN]),
    )
