"""What the API says of endpoints, from the cumulative metrics that agents send."""

from __future__ import annotations

import time
from typing import Any

import pytest
from heapwatch_wire import otlp
from heapwatch_wire.metric import DURATION_BUCKETS, QUERY_BUCKETS, SIZE_BUCKETS
from heapwatch_wire.metrics import BY_NAME

KIB = 1024


def duration(route: str, status: str, counts: dict[int, int], seconds: float) -> otlp.Histogram:
    filled = tuple(counts.get(i, 0) for i in range(len(DURATION_BUCKETS) + 1))
    labels = {"http.request.method": "GET", "http.route": route, "http.response.status_code": status}
    return otlp.Histogram(BY_NAME["http.server.request.duration"], filled, seconds, labels)


def of_endpoint(name: str, endpoint: str, value: float, requests: int = 0) -> otlp.Point:
    metric, labels = BY_NAME[f"heapwatch.endpoint.{name}"], {"heapwatch.endpoint": endpoint}
    if metric.instrument != "histogram":
        return otlp.Number(metric, value, labels)
    buckets = SIZE_BUCKETS if metric.buckets == SIZE_BUCKETS else QUERY_BUCKETS
    return otlp.Histogram(metric, (requests, *([0] * len(buckets))), value, labels)


def feed(requests: int, errors: int = 0) -> list[otlp.Point]:
    """What an agent says after so many requests of GET /feed: each like the others."""
    return [
        duration("/feed", "200", {1: requests - errors}, 0.008 * (requests - errors)),
        duration("/feed", "500", {6: errors}, 0.2 * errors),
        of_endpoint("allocated", "GET /feed", 600.0 * KIB * requests, requests),
        of_endpoint("retained", "GET /feed", 10.0 * KIB * requests),
        of_endpoint("queries", "GET /feed", 20.0 * requests, requests),
        of_endpoint("queries.repeated", "GET /feed", 19.0 * requests),
        of_endpoint("live", "GET /feed", 10.0 * KIB * requests),
    ]


def send(collector: Any, service: str, instance: str, at: float, points: list[otlp.Point]) -> None:
    resource = {"service.name": service, "service.version": "1", "service.instance.id": instance}
    body = otlp.encode(resource, points, at - 1000, at)
    assert collector.post(otlp.PATH, body, otlp.CONTENT_TYPE).status == 200


@pytest.mark.integration
def test_averages_of_one_request_over_all_instances(collector: Any) -> None:
    now = time.time()
    for instance, before, after in (("a", 100, 300), ("b", 0, 100)):
        for age, requests in ((330, before), (10, after)):
            if requests:
                send(collector, "averages", instance, now - age, feed(requests, errors=requests // 10))
    answer = collector.get("/api/v1/services/averages/endpoints", start=now - 300, end=now)
    (found,) = answer["endpoints"]
    # Of the first instance what it did before the range is left out, of the second nothing was known then.
    assert (found["name"], found["requests"], found["errors"]) == ("GET /feed", 300, 30)
    assert found["duration"] == pytest.approx((0.008 * 270 + 0.2 * 30) / 300)
    assert 0.005 < found["p50"] <= 0.01
    assert 0.1 < found["p99"] <= 0.25
    assert found["allocated"] == pytest.approx(600 * KIB)
    assert found["retained"] == pytest.approx(10 * KIB)
    assert (found["statements"], found["repeated"]) == (pytest.approx(20), pytest.approx(19))
    # What no agent has told of is unknown.
    assert (found["cpu"], found["peak"], found["gc"]) == (None, None, None)
    assert found["live"] == pytest.approx(10 * KIB * 400)
    assert sum(requests for _, requests, _ in found["points"]) == 300
    assert 0 < answer["seconds"] <= 300
    answer = collector.get("/api/v1/services/averages/endpoints", start=now - 300, end=now, instance="b")
    assert [(e["requests"], e["live"]) for e in answer["endpoints"]] == [(100, 1000.0 * KIB)]


@pytest.mark.integration
def test_an_agent_that_begins_anew_counts_from_zero(collector: Any) -> None:
    now = time.time()
    for age, requests in ((100, 500), (60, 600), (20, 40)):
        send(collector, "anew", "a", now - age, feed(requests))
    answer = collector.get("/api/v1/services/anew/endpoints", start=now - 90, end=now)
    assert answer["endpoints"][0]["requests"] == 100 + 40


@pytest.mark.integration
def test_one_version_and_tasks(collector: Any) -> None:
    now = time.time()
    send(collector, "tasks", "a", now - 20, feed(10))
    labels = {"heapwatch.endpoint": "task mail", "heapwatch.outcome": "failure"}
    counts = (0, 4, *([0] * (len(DURATION_BUCKETS) - 1)))
    failed = otlp.Histogram(BY_NAME["heapwatch.task.duration"], counts, 0.03, labels)
    send(collector, "tasks", "a", now - 10, [failed])
    answer = collector.get("/api/v1/services/tasks/endpoints", version="1")
    assert [(e["name"], e["requests"], e["errors"]) for e in answer["endpoints"]] == [
        ("GET /feed", 10, 0),
        ("task mail", 4, 4),
    ]
    assert collector.get("/api/v1/services/tasks/endpoints", version="2")["endpoints"] == []
    assert collector.get("/api/v1/services/nobody/endpoints") == {"seconds": 0.0, "endpoints": []}
