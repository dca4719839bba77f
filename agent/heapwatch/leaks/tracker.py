"""Suspicion inside the process: which sites grow, of what type, held by what."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from heapwatch_wire.evidence import Call, Evidence, Point, Share, Site
from heapwatch_wire.growth import Finding, Series, judge
from heapwatch_wire.settings import AgentSettings
from heapwatch_wire.sites import Frame, own_caller, site_id

from heapwatch.identity import Identity
from heapwatch.leaks.holders import HolderSearch, Outcome
from heapwatch.leaks.sites import History, SiteTotals, roll_up
from heapwatch.sampler import Sampler

OBSERVE_EVERY = 2.0
JUDGE_EVERY = 10.0
SEARCH_AGAIN = 120.0
FORGET_AFTER = 600.0
LEAST_SAMPLES = 5
MAX_JUDGED = 24
MAX_SUSPECTS = 32
SERIES_SHOWN = 60
ENDPOINTS_SHOWN = 5
STACK_SHOWN = 40


@dataclass
class Suspect:
    """A site that grows, and what its holder search found so far."""

    frame: Frame
    finding: Finding
    seen: float = 0.0
    search: HolderSearch | None = None
    searched: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)


class LeakTracker:
    """Observes the sampler, judges its sites, searches what holds the objects of those that grow.

    `observe` may be called as often as every quarter of a second: each call does at most one slice of a
    holder search, and looks at the sampler only when that is due. Safe to use from several threads.
    """

    def __init__(self, sampler: Sampler, settings: AgentSettings, identity: Identity) -> None:
        self._sampler = sampler
        self._settings = settings
        self._identity = identity
        self._lock = threading.RLock()
        self._history = History()
        self._sites: dict[Frame, SiteTotals] = {}
        self._suspects: dict[Frame, Suspect] = {}
        self._observed = self._judged = 0.0

    def observe(self, now: float) -> None:
        """Do what is due at `now` (Unix seconds); called by the agent's background thread."""
        with self._lock:
            if now - self._observed >= OBSERVE_EVERY:
                self._observed = now
                self._sites = roll_up(self._sampler.export())
                self._history.observe(now, self._sites)
            if now - self._judged >= JUDGE_EVERY:
                self._judged = now
                self._judge(now)
            if self._settings.holders:
                self._advance(now)

    def documents(self) -> list[Evidence]:
        """A document for each site that grows now, the fastest first."""
        with self._lock:
            documents = [self._document(s) for s in self._suspects.values() if s.seen >= self._judged]
        return sorted(documents, key=lambda d: -d.growth.bytes_per_second)

    def sites(self) -> dict[Frame, SiteTotals]:
        """All sites as last observed, or as of now when nothing has been observed."""
        with self._lock:
            return self._sites or roll_up(self._sampler.export())

    def points(self, frame: Frame) -> list[tuple[float, float, float]]:
        """(Unix time, live bytes, live objects) of a site's recent past."""
        with self._lock:
            return self._history.points(frame)

    def hold(self, identifier: str, limit: float) -> tuple[Site, Outcome] | None:
        """Search now, for at most `limit` seconds, what holds the objects of the site with this id.

        Sleeps between slices, so it is for the control thread. None when there is no such site.
        """
        totals = next((t for f, t in self.sites().items() if site_id(f) == identifier), None)
        if totals is None:
            return None
        search = self._new_search(totals)
        deadline = time.monotonic() + limit
        while not search.advance() and time.monotonic() < deadline:
            time.sleep(2 * self._settings.holders_budget)
        return describe_site(totals), search.outcome()

    def _judge(self, now: float) -> None:
        interval = float(self._sampler.stats().get("interval", 0) or self._settings.sampling_interval)
        for frame in self._history.grown(LEAST_SAMPLES * interval)[:MAX_JUDGED]:
            finding = judge([Series(self._history.points(frame), interval, self._identity.started)])
            if finding.decision in ("leak", "suspicion"):
                suspect = self._suspects.setdefault(frame, Suspect(frame, finding))
                suspect.finding, suspect.seen = finding, now
        # A site that rests keeps what is known of its holders for a while.
        kept = sorted(self._suspects.values(), key=lambda s: -s.seen)[:MAX_SUSPECTS]
        self._suspects = {s.frame: s for s in kept if now - s.seen < FORGET_AFTER}

    def _advance(self, now: float) -> None:
        """One slice for the suspect whose search runs, or for the first whose search is due."""
        suspects = [s for s in self._suspects.values() if s.frame in self._sites]
        running = next((s for s in suspects if s.search), None)
        suspect = running or next((s for s in suspects if self._due(s, now)), None)
        if suspect is None:
            return
        if suspect.search is None:
            suspect.searched = now
            suspect.search = self._new_search(self._sites[suspect.frame])
        if suspect.search.advance():
            suspect.outcome, suspect.search = suspect.search.outcome(), None

    def _due(self, suspect: Suspect, now: float) -> bool:
        return now - suspect.searched >= (SEARCH_AGAIN if suspect.outcome.holders else SEARCH_AGAIN / 4)

    def _new_search(self, totals: SiteTotals) -> HolderSearch:
        thread = totals.threads.most_common(1)
        return HolderSearch(
            self._sampler,
            [stack for stack, _ in totals.stacks.most_common(8)],
            self._settings.holders_budget,
            thread[0][0] if thread else "",
        )

    def _document(self, suspect: Suspect) -> Evidence:
        finding, frame = suspect.finding, suspect.frame
        assert finding.growth is not None  # A suspect has been judged.
        totals = self._sites.get(frame) or SiteTotals(frame)
        points = self._history.points(frame)[-SERIES_SHOWN:]
        return Evidence(
            verdict="leak" if finding.decision == "leak" else "suspicion",
            service=self._identity.service,
            version=self._identity.version,
            site=describe_site(totals),
            type=suspect.outcome.type,
            live_bytes=totals.live_bytes,
            live_objects=totals.live_objects,
            growth=finding.growth,
            time=self._observed,
            series=tuple(Point(*p) for p in points),
            statistics=finding.statistics,
            thresholds=finding.thresholds,
            reasons=finding.reasons + suspect.outcome.reasons,
            holders=tuple(suspect.outcome.holders),
            endpoints=self.endpoints(totals),
        )

    def endpoints(self, totals: SiteTotals) -> tuple[Share, ...]:
        """Which endpoints made what lives of a site."""
        whole = sum(totals.labels.values())
        names = self._sampler.labels
        return tuple(
            Share(names.name(label), size / whole)
            for label, size in totals.labels.most_common(ENDPOINTS_SHOWN)
        )


def describe_site(totals: SiteTotals) -> Site:
    """The site of `totals` with its heaviest stack."""
    stack = totals.heaviest_stack()
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
