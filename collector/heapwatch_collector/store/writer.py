"""Group commit: one thread makes what many requests brought durable at once, then lets them answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from heapwatch_collector.store.batch import Batch, series_row, stack_row, to_arrow
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.schema import SERIES, STACKS, TABLES, Table

log = logging.getLogger(__name__)

_DAY = 86400
_KNOWN_LIMIT = 200_000
_REMEMBERED_DELIVERIES = 20_000

Entry = TypeVar("Entry")


class Overloaded(Exception):
    """More is waiting for the commit than the pending limit allows; try again later."""


class CommitFailed(Exception):
    """The store did not take the batch; nothing was acknowledged."""


class Ticket:
    """A batch on its way, and the request that waits for it."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.tables: dict[Table, pa.Table] = batch.tables()
        self.arrived = time.monotonic()
        self.done = threading.Event()
        self.error: Exception | None = None


class Writer:
    """Commits all that waits once the oldest has waited `interval` seconds, or `full` batches wait.

    `committed` is called in the writer's thread with each new batch after it is durable; `observe` with
    the seconds that a commit took.
    """

    def __init__(
        self,
        store: Store,
        *,
        interval: float,
        pending_limit: int,
        full: int,
        committed: Callable[[Batch], None],
        observe: Callable[[float], None],
    ) -> None:
        self._store = store
        self._interval = interval
        self._limit = pending_limit
        self._full = full
        self._committed = committed
        self._observe = observe
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._pending = 0
        self._closing = False
        self._dictionaries = {STACKS: Known(_KNOWN_LIMIT), SERIES: Known(_KNOWN_LIMIT)}
        self._delivered = Known(_REMEMBERED_DELIVERIES)
        self._thread = threading.Thread(target=self._run, name="writer")
        self._thread.start()

    @property
    def pending(self) -> int:
        """Bytes received and not yet durable."""
        return self._pending

    @property
    def overloaded(self) -> bool:
        return self._pending >= self._limit

    def submit(self, batch: Batch) -> None:
        """Return when `batch` is durable. Raises Overloaded or CommitFailed: then nothing is acknowledged."""
        ticket = Ticket(batch)
        with self._changed:
            if self._closing:
                raise CommitFailed("the collector is stopping")
            if self._pending and self._pending + batch.size > self._limit:
                raise Overloaded
            self._pending += batch.size
            self._waiting.append(ticket)
            self._changed.notify()
        ticket.done.wait()
        if ticket.error:
            raise CommitFailed(str(ticket.error)) from ticket.error

    def close(self) -> None:
        """Commit what waits, refuse what comes, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                rest = self._waiting[0].arrived + self._interval - time.monotonic()
                self._changed.wait_for(lambda: self._closing or len(self._waiting) >= self._full, rest)
                tickets, self._waiting = self._waiting, []
            self._commit(tickets)

    def _commit(self, tickets: list[Ticket]) -> None:
        begin = time.monotonic()
        error: Exception | None = None
        fresh = self._drop_repeated(tickets)
        try:
            self._insert(fresh)
            for ticket in fresh:
                self._committed(ticket.batch)
        # Whatever the engine raises, the senders must learn of it and the thread must live on.
        except Exception as failure:
            log.exception("a commit failed")
            error = failure
        with self._changed:
            self._pending -= sum(t.batch.size for t in tickets)
        for ticket in tickets:
            ticket.error = error
            ticket.done.set()
        self._observe(time.monotonic() - begin)

    def _drop_repeated(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """A sender that missed our answer sends again: its delivery counts once."""
        fresh: list[Ticket] = []
        seen: set[Any] = set()
        for ticket in tickets:
            key = ticket.batch.key
            if not key:
                fresh.append(ticket)
            elif key not in seen and self._delivered.missing(key):
                seen.add(key)
                fresh.append(ticket)
        return fresh

    def _insert(self, tickets: Sequence[Ticket]) -> None:
        now = int(time.time())
        stacks = self._new(STACKS, (t.batch.stacks for t in tickets), now)
        series = self._new(SERIES, (t.batch.series for t in tickets), now)
        parts: dict[Table, list[pa.Table]] = {}
        if stacks:
            parts[STACKS] = [to_arrow(STACKS, [stack_row(i, s, now) for i, s in stacks.items()])]
        if series:
            parts[SERIES] = [to_arrow(SERIES, [series_row(i, s, now) for i, s in series.items()])]
        for ticket in tickets:
            for table, rows in ticket.tables.items():
                parts.setdefault(table, []).append(rows)
        for table in TABLES:
            if table in parts:
                self._store.insert(table, pa.concat_tables(parts[table]))
        self._dictionaries[STACKS].add(stacks, now // _DAY)
        self._dictionaries[SERIES].add(series, now // _DAY)
        self._delivered.add((t.batch.key for t in tickets if t.batch.key), 0)

    def _new(self, table: Table, entries: Iterable[Mapping[int, Entry]], now: int) -> dict[int, Entry]:
        """Those of the dictionary's entries that were not written today."""
        known = self._dictionaries[table]
        return {i: e for part in entries for i, e in part.items() if known.missing(i, now // _DAY)}


class Known:
    """What has been written, with the day; bounded, the oldest is forgotten (and written again) first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._days: dict[Any, int] = {}
        self._order: deque[Any] = deque()

    def missing(self, key: Any, day: int = 0) -> bool:
        return self._days.get(key) != day

    def add(self, keys: Iterable[Any], day: int) -> None:
        for key in keys:
            if key not in self._days:
                self._order.append(key)
            self._days[key] = day
        while len(self._order) > self._limit:
            del self._days[self._order.popleft()]
