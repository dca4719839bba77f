"""Endpoints on the page, and the range that it opens at."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from heapwatch_wire import otlp, pprof, push
from heapwatch_wire.metric import DURATION_BUCKETS
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.sites import Frame
from playwright.sync_api import expect

from tests.web.conftest import post

pytestmark = pytest.mark.integration

KIB = 1024
MIB = 1 << 20
BAKERY = "#/services/bakery"
AGES = (230, 170, 110, 50)
"""Seconds before now at which the bakery's process reported."""
PLACES = {"GET /bread": (40, 3, 6), "POST /orders": (10, 6, 24), "GET /health": (100, 1, 2)}
"""Requests between two reports, the bucket of their durations, and live MiB, by endpoint."""


def labelled(name: str, endpoint: str, value: float, requests: int = 0) -> otlp.Point:
    metric, labels = BY_NAME[f"heapwatch.endpoint.{name}"], {"heapwatch.endpoint": endpoint}
    if metric.instrument == "histogram":
        return otlp.Histogram(metric, (requests, *([0] * len(metric.buckets))), value, labels)
    return otlp.Number(metric, value, labels)


def durations(endpoint: str, status: str, bucket: int, requests: int) -> otlp.Point:
    method, route = endpoint.split()
    labels = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    counts = tuple(requests if i == bucket else 0 for i in range(len(DURATION_BUCKETS) + 1))
    seconds = DURATION_BUCKETS[bucket] * requests
    return otlp.Histogram(BY_NAME["http.server.request.duration"], counts, seconds, labels)


def report(reports: int) -> list[otlp.Point]:
    """What the bakery's process says in its so-and-so-manieth report."""
    points: list[otlp.Point] = [otlp.Number(BY_NAME["process.memory.usage"], 90 * MIB)]
    for endpoint, (each, bucket, live) in PLACES.items():
        requests = each * reports
        points += [
            durations(endpoint, "200", bucket, requests),
            labelled("allocated", endpoint, 300.0 * KIB * each * requests, requests),
            labelled("retained", endpoint, 2.0 * KIB * requests),
            labelled("gc.pause", endpoint, 0.002 * requests, requests),
            labelled("live", endpoint, live * float(MIB)),
        ]
    failed = durations("POST /orders", "503", 6, 10 * reports)
    repeated = labelled("queries.repeated", "GET /bread", 19.0 * 40 * reports)
    return [*points, failed, labelled("queries", "GET /bread", 21.0 * 40 * reports, 40 * reports), repeated]


class Bakery(NamedTuple):
    """The collector that it reports to, and when it last did, in Unix seconds."""

    url: str
    now: float


@pytest.fixture(scope="module")
def bakery(story: Any) -> Bakery:
    """A bakery that has reported for four minutes."""
    now = time.time()
    resource = {"service.name": "bakery", "service.version": "1", "service.instance.id": "oven-1"}
    for reports, age in enumerate(AGES, start=1):
        body = otlp.encode(resource, report(reports), now - 300, now - age)
        post(story.url + otlp.PATH, body, otlp.CONTENT_TYPE)
    master = {**resource, "service.instance.id": "oven-0"}
    figures = {"process.memory.usage": 30 * MIB, "heapwatch.process.workers": 1}
    points = [otlp.Number(BY_NAME[name], value, {}) for name, value in figures.items()]
    post(story.url + otlp.PATH, otlp.encode(master, points, now - 300, now - 50), otlp.CONTENT_TYPE)
    stacks = (
        ("GET /bread", Frame("bake", "/srv/bread.py", 3)),
        ("POST /orders", Frame("keep", "/srv/o.py", 8)),
    )
    samples = [
        pprof.Sample((frame,), (1, MIB, 1, MIB), (("endpoint", endpoint),)) for endpoint, frame in stacks
    ]
    labels = {"__name__": "memory", "service_name": "bakery", "service_version": "1", "instance": "oven-1"}
    profile = pprof.encode(pprof.Profile(samples, period=65536, time_nanos=int((now - 50) * 1e9)))
    post(story.url + push.PATH, push.encode(labels, profile), push.CONTENT_TYPE)
    return Bakery(story.url, now)


def names(region: Any) -> Any:
    return region.get_by_role("rowheader")


def test_endpoints_with_what_a_request_takes(visit: Callable[..., Any], bakery: Bakery) -> None:
    page = visit(bakery.url).open(BAKERY)
    region = page.get_by_role("region", name="Endpoints")
    # What lives now comes first.
    expect(names(region)).to_contain_text(["POST /orders", "GET /bread", "GET /health"])
    orders = region.get_by_role("row").filter(has_text="POST /orders")
    expect(orders).to_contain_text("50 %")
    expect(orders).to_contain_text("24 MiB 75 %")
    expect(orders.get_by_role("img", name="Requests of POST /orders over time")).to_be_visible()
    bread = region.get_by_role("row").filter(has_text="GET /bread")
    expect(bread).to_contain_text("N+1")
    expect(bread.locator(".tag")).to_have_attribute("title", re.compile("^19 of 21 statements"))
    for text in ("11.7 MiB", "2 KiB", "2 ms", "21"):
        expect(bread.get_by_role("cell").filter(has_text=text).first).to_be_visible()
    expect(region.get_by_role("row").filter(has_text="GET /health")).not_to_contain_text("N+1")


def test_endpoints_are_sorted_by_any_column(visit: Callable[..., Any], bakery: Bakery) -> None:
    page = visit(bakery.url).open(BAKERY)
    region = page.get_by_role("region", name="Endpoints")
    expect(region.get_by_role("columnheader", name="Live now")).to_have_attribute("aria-sort", "descending")
    region.get_by_role("button", name="Requests/s").click()
    expect(names(region)).to_contain_text(["GET /health", "GET /bread", "POST /orders"])
    region.get_by_role("button", name="Requests/s").click()
    expect(names(region)).to_contain_text(["POST /orders", "GET /bread", "GET /health"])
    region.get_by_role("button", name="p99").click()
    expect(names(region)).to_contain_text(["POST /orders", "GET /bread", "GET /health"])


def test_an_endpoint_leads_to_what_it_allocated(visit: Callable[..., Any], bakery: Bakery) -> None:
    page = visit(bakery.url).open(BAKERY)
    flame = page.get_by_role("region", name="Where the memory is allocated")
    page.get_by_role("button", name="POST /orders").click()
    expect(page).to_have_url(re.compile(r"endpoint=POST"))
    expect(flame.get_by_role("combobox", name="Endpoint")).to_have_value("POST /orders")
    flame.get_by_text("The same as a table").click()
    expect(flame.get_by_role("row").filter(has_text="keep")).to_have_count(1)
    expect(flame.get_by_role("row").filter(has_text="bake")).to_have_count(0)
    page.get_by_role("button", name="POST /orders").click()
    expect(flame.get_by_role("row").filter(has_text="bake")).to_have_count(1)


def test_a_parent_of_workers_is_shown_apart(visit: Callable[..., Any], bakery: Bakery) -> None:
    page = visit(bakery.url).open(BAKERY)
    region = page.get_by_role("region", name="Instances")
    expect(region).to_contain_text("1 seen in this range, and 1 that only forked them")
    expect(names(region)).to_contain_text(["oven-1", "oven-0"])
    expect(names(region).nth(1)).to_contain_text("parent")
    page.get_by_role("link", name="Heapwatch").click()
    expect(page.get_by_role("row").filter(has_text="bakery")).to_contain_text("1 + 1 parent")


def test_the_page_opens_at_a_range_that_fits(visit: Callable[..., Any], bakery: Bakery) -> None:
    here = visit(bakery.url)
    # However slow this machine is: as the page was when the bakery last reported.
    here.page.clock.set_fixed_time(bakery.now)
    page = here.open(BAKERY)
    expect(page.get_by_role("radio", name="5 min", exact=True)).to_be_checked()
    page.get_by_text("1 h", exact=True).click()
    expect(page).to_have_url(re.compile(r"range=1h$"))
    page.reload()
    expect(page.get_by_role("radio", name="1 h", exact=True)).to_be_checked()
    page.get_by_role("link", name="Heapwatch").click()
    # All services together were seen for longer.
    expect(page.get_by_role("radio", name="1 h", exact=True)).to_be_checked()


def test_a_service_that_ended_is_shown_where_it_was(visit: Callable[..., Any], bakery: Bakery) -> None:
    here = visit(bakery.url)
    here.page.clock.set_fixed_time(bakery.now + 2 * 3600)
    page = here.open(BAKERY)
    expect(page.get_by_role("radio", name="6 h", exact=True)).to_be_checked()
    expect(page.get_by_role("region", name="Instances")).to_contain_text("1 seen in this range")
