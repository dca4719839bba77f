"""The table of endpoints stays small, keeps the busiest, and loses no request."""

from __future__ import annotations

import threading

import pytest
from heapwatch.instrument.distribution import Trace
from heapwatch.instrument.endpoints import (
    MAX_OUTCOMES,
    MAX_REPEATS,
    Ended,
    Endpoint,
    Endpoints,
    Totals,
)
from heapwatch.instrument.points import request_points
from heapwatch_wire.otlp import Histogram

ENDED = Ended("200", "", "http", 0.02, 0.01, 0.0, 5000.0, 50.0, 100.0, 6000.0, 0, 0.0, {}, 0.0, None)


def endpoint(name: str) -> Endpoint:
    return Endpoint(f"GET /{name}", "request", "GET", f"/{name}")


def requests(endpoints: Endpoints) -> dict[str, int]:
    return {totals.endpoint.name: totals.requests for totals in endpoints.copies()}


def test_requests_add_up() -> None:
    endpoints = Endpoints()
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    endpoints.record(endpoint("a"), ENDED)
    endpoints.record(endpoint("a"), ENDED._replace(status="500", allocated=3e6, cpu=None, trace=trace))
    [totals] = endpoints.copies()
    assert totals.requests == 2
    assert {outcome.status: sum(d.counts) for outcome, d in totals.outcomes.items()} == {"200": 1, "500": 1}
    assert totals.allocated.sum == 3_005_000
    assert (sum(totals.cpu.counts), totals.cpu.sum) == (1, 0.01)
    assert totals.allocations == 100
    assert totals.retained == 200
    [exemplar] = totals.allocated.exemplars.values()
    assert (exemplar.value, exemplar.trace_id, exemplar.span_id) == (3e6, *trace)


def test_durations_and_allocations_have_exemplars_of_the_trace() -> None:
    endpoints = Endpoints()
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    endpoints.record(endpoint("a"), ENDED._replace(trace=trace))
    points = {point.metric.name: point for point in request_points(endpoints.copies())}
    for name, value in (("http.server.request.duration", 0.02), ("heapwatch.endpoint.allocated", 5000.0)):
        point = points[name]
        assert isinstance(point, Histogram)
        [(bucket, exemplar)] = point.exemplars.items()
        assert (point.counts[bucket], exemplar.value, exemplar.trace_id) == (1, value, trace.trace_id)


def test_requests_without_samples_statements_or_pauses_count_as_zeros() -> None:
    endpoints = Endpoints()
    quiet = ENDED._replace(allocated=0.0, allocations=0.0, retained=0.0, peak=0.0)
    for ended in (quiet, ENDED._replace(queries=3, gc_seconds=0.2), quiet):
        endpoints.record(endpoint("a"), ended)
    [totals] = endpoints.copies()
    for known in (totals.allocated, totals.peak, totals.gc, totals.queries):
        assert sum(known.counts) == 3
        assert known.counts[0] == 2


def test_endpoints_beyond_the_limit_are_counted_together_by_kind() -> None:
    endpoints = Endpoints(limit=2)
    for name in ("a", "b", "c", "d", "d"):
        endpoints.record(endpoint(name), ENDED)
    endpoints.record(Endpoint("resize", "task"), ENDED)
    assert requests(endpoints) == {"GET /a": 1, "GET /b": 1, "(other)": 3, "(other tasks)": 1}


def test_the_busiest_come_to_have_the_places_and_no_request_is_lost() -> None:
    endpoints = Endpoints(limit=2)
    for name in ("a", "b", "c"):
        endpoints.record(endpoint(name), ENDED)
    endpoints.settle()
    for name in ("a", "c", "c"):
        endpoints.record(endpoint(name), ENDED)
    endpoints.settle()  # c was asked for more than b
    endpoints.record(endpoint("c"), ENDED)
    assert requests(endpoints) == {"GET /a": 2, "GET /c": 1, "(other)": 4}


def test_busy_endpoints_are_not_moved_by_rare_ones() -> None:
    endpoints = Endpoints(limit=1)
    for _ in range(3):
        endpoints.record(endpoint("a"), ENDED)
        endpoints.record(endpoint("b"), ENDED)
        endpoints.settle()
    assert requests(endpoints) == {"GET /a": 3, "(other)": 3}


def test_outcomes_and_statements_are_bounded() -> None:
    totals = Totals(endpoint("a"))
    for number in range(100):
        totals.add(ENDED._replace(status=str(number), repeats={f"SELECT {number}": (5, "f (a.py:1)")}))
    assert len(totals.outcomes) <= MAX_OUTCOMES + 1
    assert len(totals.repeats) == MAX_REPEATS
    assert sum(sum(d.counts) for d in totals.outcomes.values()) == 100
    assert totals.repeated_queries == 400


@pytest.mark.parametrize("how", ["copy", "merge"])
def test_a_copy_has_everything_and_stays_as_it_is(how: str) -> None:
    totals = Totals(endpoint("a"))
    totals.add(ENDED._replace(queries=7, query_seconds=0.5, repeats={"SELECT 1": (7, "f (a.py:1)")}))
    made = totals.copy() if how == "copy" else Totals(endpoint("b"))
    if how == "merge":
        made.merge(totals)
    totals.add(ENDED)
    assert made.requests == 1
    assert sum(made.queries.counts) == 1
    assert made.query_seconds == 0.5
    assert made.repeated_queries == 6
    assert made.repeats["SELECT 1"].most == 7
    assert [outcome.status for outcome in made.outcomes] == ["200"]


def test_a_request_that_ends_while_the_table_is_read_does_not_wait_and_is_counted_later() -> None:
    endpoints = Endpoints()
    reading = threading.Event()
    done = threading.Event()

    def read() -> None:
        with endpoints._lock:
            reading.set()
            done.wait(240)

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(240)
    for _ in range(64):
        endpoints.record(endpoint("a"), ENDED)
    done.set()
    reader.join()
    assert requests(endpoints) == {"GET /a": 64}
