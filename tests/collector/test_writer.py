"""Group commit: many are made durable at once, none is told so before, and there is a limit to waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from heapwatch_collector.context import Collector
from heapwatch_collector.live import Live
from heapwatch_collector.store.batch import Batch, Instance, Point, Series
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.schema import POINTS, SERIES, Table
from heapwatch_collector.store.writer import CommitFailed, Known, Overloaded, Writer
from heapwatch_collector.telemetry import Telemetry
from heapwatch_collector.web_app import create_app
from heapwatch_wire.settings import CollectorSettings

SERIES_A = Series("shop", "metric", "process.memory.usage", "1", "a", (), "gauge")


class Shelf:
    """A store that keeps rows in memory, when it is let to."""

    def __init__(self) -> None:
        self.inserts: list[tuple[str, int]] = []
        self.open = threading.Event()
        self.open.set()
        self.failing = False

    def insert(self, table: Table, rows: Any) -> None:
        assert self.open.wait(240)
        if self.failing:
            raise OSError("disk full")
        self.inserts.append((table.name, rows.num_rows))

    def rows(self, table: Table) -> int:
        return sum(count for name, count in self.inserts if name == table.name)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def make_writer(shelf: Shelf) -> Iterator[Callable[..., Writer]]:
    writers: list[Writer] = []

    def make(**options: Any) -> Writer:
        settings = {"interval": 0.01, "pending_limit": 1000, "full": 100, **options}
        writer = Writer(
            cast(Store, shelf), committed=lambda batch: None, observe=lambda seconds: None, **settings
        )
        writers.append(writer)
        return writer

    yield make
    shelf.open.set()
    for writer in writers:
        writer.close()


def a_batch(size: int = 10, key: int = 0) -> Batch:
    batch = Batch(size, ((1, key),) if key else ())
    batch.add_point(batch.add_series(SERIES_A), Point(1_795_000_000_000, 1.0))
    batch.add_instance(Instance("shop", "1", "a"), 1_795_000_000_000)
    return batch


def submit_all(writer: Writer, batches: list[Batch]) -> list[threading.Thread]:
    threads = [threading.Thread(target=writer.submit, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    return threads


def test_a_full_house_is_committed_at_once(make_writer: Any, shelf: Shelf) -> None:
    writer = make_writer(interval=60, full=5)
    for thread in submit_all(writer, [a_batch() for _ in range(5)]):
        thread.join(60)
        assert not thread.is_alive()
    assert shelf.inserts == [("series", 1), ("points", 5), ("instances", 5)]


def test_nobody_is_answered_before_it_is_durable(make_writer: Any, shelf: Shelf, wait_until: Any) -> None:
    writer = make_writer()
    shelf.open.clear()
    (thread,) = submit_all(writer, [a_batch(size=70)])
    wait_until(lambda: writer.pending == 70)
    assert thread.is_alive()
    shelf.open.set()
    thread.join(60)
    assert (writer.pending, shelf.rows(POINTS)) == (0, 1)


def test_too_much_at_once_is_refused_and_later_taken(make_writer: Any, shelf: Shelf, wait_until: Any) -> None:
    writer = make_writer(pending_limit=100)
    shelf.open.clear()
    threads = submit_all(writer, [a_batch(size=90)])
    wait_until(lambda: writer.pending == 90)
    with pytest.raises(Overloaded):
        writer.submit(a_batch(size=20))
    shelf.open.set()
    threads[0].join(60)
    writer.submit(a_batch(size=20))
    # One that is larger than the limit is taken when nothing else waits: else it never would be.
    writer.submit(a_batch(size=500))
    assert shelf.rows(POINTS) == 3


def test_a_failed_commit_is_told_to_all_and_the_next_succeeds(make_writer: Any, shelf: Shelf) -> None:
    writer = make_writer()
    shelf.failing = True
    with pytest.raises(CommitFailed, match="disk full"):
        writer.submit(a_batch(key=7))
    shelf.failing = False
    writer.submit(a_batch(key=7))
    assert (shelf.rows(POINTS), shelf.rows(SERIES)) == (1, 1)


def test_a_repeated_delivery_is_acknowledged_and_not_stored_again(make_writer: Any, shelf: Shelf) -> None:
    writer = make_writer(interval=60, full=3)
    for thread in submit_all(writer, [a_batch(key=5), a_batch(key=5), a_batch(key=6)]):
        thread.join(60)
    assert shelf.rows(POINTS) == 2


def test_closing_commits_what_waits(make_writer: Any, shelf: Shelf, wait_until: Any) -> None:
    writer = make_writer(interval=60)
    (thread,) = submit_all(writer, [a_batch()])
    wait_until(lambda: writer.pending)
    writer.close()
    thread.join(60)
    assert shelf.rows(POINTS) == 1
    with pytest.raises(CommitFailed, match="stopping"):
        writer.submit(a_batch())


def test_senders_are_told_to_wait_or_to_come_again(
    make_writer: Any, shelf: Shelf, wait_until: Any, make_push: Any, make_profile: Any
) -> None:
    writer = make_writer(pending_limit=100)
    collector = Collector(CollectorSettings(), cast(Store, shelf), writer, Live(), Telemetry())
    client = create_app(collector).test_client()
    body = make_push(make_profile([]))

    def push() -> tuple[int, str | None]:
        answer = client.post("/push.v1.PusherService/Push", data=body, content_type="application/proto")
        return answer.status_code, answer.headers.get("Retry-After")

    shelf.open.clear()
    (waiting,) = submit_all(writer, [a_batch(size=100)])
    wait_until(lambda: writer.pending)
    assert push() == (429, "1")
    shelf.open.set()
    waiting.join(60)
    shelf.failing = True
    assert push() == (503, "5")
    shelf.failing = False
    assert push() == (200, None)


def test_what_is_known_is_bounded_and_renewed_daily() -> None:
    known = Known(2)
    known.add([1, 2], day=1)
    assert not known.missing(1, 1)
    assert known.missing(1, 2)
    known.add([3], day=1)
    assert [known.missing(n, 1) for n in (1, 2, 3)] == [True, False, False]
