"""What is known of each endpoint: distributions over its requests, in a table of bounded size."""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal, NamedTuple, TypeAlias

from heapwatch_wire.metric import DURATION_BUCKETS, PAUSE_BUCKETS, QUERY_BUCKETS, SIZE_BUCKETS

from heapwatch.instrument.distribution import Distribution, Trace
from heapwatch.threads import new_rlock

MAX_ENDPOINTS = 200
MAX_OUTCOMES = 20
MAX_REPEATS = 20

Kind: TypeAlias = Literal["request", "task", "job"]
OTHERS: dict[Kind, str] = {"request": "(other)", "task": "(other tasks)", "job": "(other jobs)"}


class Endpoint(NamedTuple):
    """What requests have in common. `method` and `route` of HTTP requests only; route "" when unknown."""

    name: str
    kind: Kind = "request"
    method: str = ""
    route: str = ""


class Outcome(NamedTuple):
    """How pieces of work ended: the status of a response or a word; the type of the exception, if one was
    raised; the scheme of the URL, "http" or "https", of HTTP requests."""

    status: str
    error: str = ""
    scheme: str = ""


class Repeat(NamedTuple):
    """A statement that one request executed again and again: in how many requests, how often at most, by
    which line of the application."""

    requests: int
    most: int
    line: str


class Ended(NamedTuple):
    """What one request came to: its Outcome; seconds; estimated bytes and blocks; `cpu` None when unknown."""

    status: str
    error: str
    scheme: str
    seconds: float
    cpu: float | None
    gc_seconds: float
    allocated: float
    allocations: float
    retained: float
    peak: float
    queries: int
    query_seconds: float
    repeats: dict[str, tuple[int, str]]
    template_seconds: float
    trace: Trace | None

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return Outcome._make(self[:3])


class Totals:
    """All requests of an endpoint since the start. `repeats` by statement; callers hold their own lock."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.requests = 0
        self.outcomes: dict[Outcome, Distribution] = {}
        self.allocated = Distribution(SIZE_BUCKETS)
        self.peak = Distribution(SIZE_BUCKETS)
        self.cpu = Distribution(PAUSE_BUCKETS)
        self.gc = Distribution(PAUSE_BUCKETS)
        self.queries = Distribution(QUERY_BUCKETS)
        self.allocations = self.retained = self.query_seconds = self.template_seconds = 0.0
        self.repeated_queries = 0
        self.repeats: dict[str, Repeat] = {}

    def add(self, ended: Ended) -> None:
        """Count one request."""
        self.requests += 1
        self._outcome(ended[:3]).add(ended.seconds, ended.trace)
        if ended.cpu is not None:
            self.cpu.add(ended.cpu)
        # Most requests have none of these: `copy` counts them.
        if ended.allocated:
            self.allocated.add(ended.allocated, ended.trace)
            self.peak.add(ended.peak)
            self.allocations += ended.allocations
            self.retained += ended.retained
        if ended.gc_seconds:
            self.gc.add(ended.gc_seconds)
        if ended.queries:
            self.queries.add(ended.queries)
            self.query_seconds += ended.query_seconds
        if ended.repeats:
            self._repeat(ended.repeats)
        self.template_seconds += ended.template_seconds

    def _repeat(self, repeats: dict[str, tuple[int, str]]) -> None:
        for statement, (count, line) in repeats.items():
            self.repeated_queries += count - 1
            self._note(statement, Repeat(1, count, line))

    def merge(self, other: Totals) -> None:
        """Add what was counted in `other`."""
        self.requests += other.requests
        for outcome, durations in other.outcomes.items():
            self._outcome(outcome).merge(durations)
        for name in ("allocated", "peak", "cpu", "gc", "queries"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("allocations", "retained", "query_seconds", "template_seconds", "repeated_queries"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for statement, repeat in other.repeats.items():
            self._note(statement, repeat)

    def copy(self) -> Totals:
        """The same counts, apart."""
        made = Totals(self.endpoint)
        made.merge(self)
        for known in (made.allocated, made.peak, made.gc, made.queries):
            known.counts[0] += made.requests - sum(known.counts)
        return made

    def _outcome(self, outcome: tuple[str, str, str]) -> Distribution:
        # An Outcome equals its tuple.
        found: Distribution | None = self.outcomes.get(outcome)  # type: ignore[call-overload]
        if found is None:
            known = Outcome._make(outcome) if len(self.outcomes) < MAX_OUTCOMES else Outcome("")
            found = self.outcomes.setdefault(known, Distribution(DURATION_BUCKETS))
        return found

    def _note(self, statement: str, repeat: Repeat) -> None:
        known = self.repeats.get(statement, Repeat(0, 0, repeat.line))
        if known.requests or len(self.repeats) < MAX_REPEATS:
            requests, most = known.requests + repeat.requests, max(known.most, repeat.most)
            self.repeats[statement] = Repeat(requests, most, repeat.line)


class Endpoints:
    """Totals by endpoint. Beyond `limit`, requests go to one of OTHERS, and `settle` lets the busier ones in.

    The lock is re-entrant: a garbage collection inside it may close a forgotten response, which ends a
    request.
    """

    def __init__(self, limit: int = MAX_ENDPOINTS) -> None:
        self._limit = limit
        self._lock = new_rlock()
        self._totals: dict[Endpoint, Totals] = {}
        self._others: dict[Kind, Totals] = {}
        self._turned_away: Counter[Endpoint] = Counter()
        self._waiting: deque[tuple[Endpoint, Ended]] = deque()
        self._settled: dict[Endpoint, int] = {}

    def record(self, endpoint: Endpoint, ended: Ended) -> None:
        """Count one request of `endpoint`. Waits for nobody: while the table is read, it is put by."""
        if not self._lock.acquire(False):
            self._waiting.append((endpoint, ended))
            return
        try:
            if self._waiting:
                self._take_in()
            (self._totals.get(endpoint) or self._new(endpoint)).add(ended)
        finally:
            self._lock.release()

    def copies(self) -> list[Totals]:
        """What was counted so far; the lock is held for one endpoint at a time."""
        self._take_in()
        with self._lock:
            found = [*self._totals.values(), *self._others.values()]
        return [self._copy(totals) for totals in found]

    def settle(self) -> None:
        """Let endpoints that were turned away change places with those that had fewer requests since last
        time.

        What was counted of one that leaves stays in the totals of the others.
        """
        self._take_in()
        with self._lock:
            busy = {key: totals.requests - self._settled.get(key, 0) for key, totals in self._totals.items()}
            idle_first = sorted(busy, key=lambda key: busy[key])
            for (newcomer, count), idle in zip(self._turned_away.most_common(), idle_first, strict=False):
                if count <= busy[idle]:
                    break
                self._other(idle.kind).merge(self._totals.pop(idle))
                self._totals[newcomer] = Totals(newcomer)
            self._turned_away.clear()
            self._settled = {key: totals.requests for key, totals in self._totals.items()}

    def _take_in(self) -> None:
        with self._lock:
            while self._waiting:
                endpoint, ended = self._waiting.popleft()
                (self._totals.get(endpoint) or self._new(endpoint)).add(ended)

    def _new(self, endpoint: Endpoint) -> Totals:
        if len(self._totals) < self._limit:
            return self._totals.setdefault(endpoint, Totals(endpoint))
        if endpoint in self._turned_away or len(self._turned_away) < self._limit:
            self._turned_away[endpoint] += 1
        return self._other(endpoint.kind)

    def _other(self, kind: Kind) -> Totals:
        endpoint = Endpoint(OTHERS[kind], kind, "_OTHER" if kind == "request" else "")
        return self._others.setdefault(kind, Totals(endpoint))

    def _copy(self, totals: Totals) -> Totals:
        with self._lock:
            return totals.copy()
