"""Objects by type on the page, one instance of several, and what the tuner did."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from heapwatch_wire import otlp
from heapwatch_wire.metrics import BY_NAME
from playwright.sync_api import expect

from tests.web.conftest import post

pytestmark = pytest.mark.integration

MIB = 1 << 20
LOOM = "#/services/loom?range=15m"
TYPES = {"dict": (40, 40), "loom.Thread": (2, 14), "str": (9, 7)}
"""MiB at first and in the end, by type."""


def report(share: float, thresholds: int) -> list[otlp.Point]:
    points: list[otlp.Point] = [otlp.Number(BY_NAME["process.memory.usage"], 90 * MIB)]
    for name, (first, last) in TYPES.items():
        size = round((first + share * (last - first)) * MIB)
        attributes = {"heapwatch.type": name}
        points.append(otlp.Number(BY_NAME["heapwatch.type.memory"], size, attributes))
        points.append(otlp.Number(BY_NAME["heapwatch.type.objects"], size // 64, attributes))
    attributes = {"heapwatch.action": "thresholds", "heapwatch.gc.mode": "act"}
    points.append(otlp.Number(BY_NAME["heapwatch.defence.state"], 2 * thresholds, {}))
    return [*points, otlp.Number(BY_NAME["heapwatch.gc.tuner.actions"], thresholds, attributes)]


class Looms(NamedTuple):
    """The collector that they report to, and when they last did, in Unix seconds."""

    url: str
    now: float


@pytest.fixture(scope="module")
def looms(story: Any) -> Looms:
    """Two looms that report for four minutes; the second's tuner and defence did something."""
    now = time.time()
    for instance in ("loom-1", "loom-2"):
        resource = {"service.name": "loom", "service.version": "1", "service.instance.id": instance}
        for age in (240, 180, 120, 60, 0):
            set_to = 1 if instance == "loom-2" and age < 150 else 0
            body = otlp.encode(resource, report(1 - age / 240, set_to), now - 300, now - age)
            post(story.url + otlp.PATH, body, otlp.CONTENT_TYPE)
    return Looms(story.url, now)


@pytest.fixture
def page(visit: Callable[..., Any], looms: Looms) -> Any:
    """The looms' page as it was when they last reported, however slow this machine is."""
    here = visit(looms.url)
    here.page.clock.set_fixed_time(looms.now + 1)
    return here.open(LOOM)


def test_types_with_what_they_grow_by(page: Any) -> None:
    region = page.get_by_role("region", name="Objects by type")
    # The fastest growth comes first, over both instances.
    expect(region.get_by_role("rowheader")).to_have_text(["loom.Thread", "dict", "str"])
    thread = region.get_by_role("row").filter(has_text="loom.Thread")
    expect(thread).to_contain_text(re.compile(r"28 MiB\s*459 k\s*\+24 MiB\s*\+393 k"))
    expect(region.get_by_role("row").filter(has_text="str")).to_contain_text("−4 MiB")
    region.get_by_role("button", name="Bytes").click()
    expect(region.get_by_role("rowheader")).to_have_text(["dict", "loom.Thread", "str"])


def test_one_instance_of_several(page: Any) -> None:
    region = page.get_by_role("region", name="Objects by type")
    thread = region.get_by_role("row").filter(has_text="loom.Thread")
    expect(thread).to_contain_text("28 MiB")
    expect(page.locator(".keys")).to_contain_text("GC tuner: thresholds")
    instances = page.get_by_role("region", name="Instances")
    expect(instances.get_by_role("row").filter(has_text="loom-2")).to_contain_text("shed")
    expect(instances.get_by_role("row").filter(has_text="loom-1")).not_to_contain_text("shed")
    page.get_by_role("button", name="loom-1").click()
    expect(page).to_have_url(re.compile("instance=loom-1"))
    expect(thread).to_contain_text("14 MiB")
    expect(page.locator(".timeline .legend li")).to_have_count(1)
    expect(page.locator(".keys")).not_to_contain_text("GC tuner")
    page.get_by_role("button", name="show all").click()
    expect(thread).to_contain_text("28 MiB")
