"""Growth that no line of Python explains, as a person sees it on the page."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, Growth, Part, Point, to_json
from heapwatch_wire.native import OUTSIDE_ID, advice, outside_site
from playwright.sync_api import expect

from tests.web.conftest import post

pytestmark = pytest.mark.integration

MIB = float(1 << 20)
MILL = "#/services/mill"


@pytest.fixture(scope="module")
def mill(story: Any) -> str:
    """The address of a collector to which the analyzer said that the mill grows outside of Python."""
    now = time.time()
    document = Evidence(
        verdict="suspicion",
        service="mill",
        version="3",
        site=outside_site(),
        type="",
        live_bytes=84 * MIB,
        live_objects=0.0,
        growth=Growth(2.4 * MIB / 60, 2.2 * MIB / 60, 2.6 * MIB / 60, 0.0),
        time=now,
        instances=2,
        growing=1,
        series=tuple(Point(now - 600 + 60 * i, (60 + 2.4 * i) * MIB, 0.0) for i in range(11)),
        statistics={"span": 600.0, "rss": 3 * MIB / 60, "python": 0.5 * MIB / 60},
        thresholds={"span": 120.0},
        reasons=("memory that C code asks of malloc isn't sampled: native mode is off",),
        recommendation=advice(False, ("lxml", "numpy")),
        kind="native",
        parts=(
            Part("malloc used", 90 * MIB, 2.4 * MIB / 60, "larger blocks, and what C libraries allocate"),
            Part("files", 20 * MIB, 0.0, "programs and libraries"),
        ),
        suspects=("lxml", "numpy"),
    )
    analysis = Analysis("mill", "3", now, 900.0, "no leak", 2, (document,))
    body = json.dumps(to_json(analysis)).encode()
    post(story.url + "/api/v1/analyses", body, "application/json")
    return str(story.url)


def test_the_service_says_that_memory_outside_of_python_grows(visit: Callable[..., Any], mill: str) -> None:
    page = visit(mill).open(MILL)
    expect(page.locator(".headline")).to_contain_text(
        "No leak found in 2 instances over the last 15 min. Memory outside of Python grows by 2.4 MiB/min"
    )
    page.get_by_role("link", name="memory outside Python").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("memory outside Python")


def test_the_evidence_shows_the_split_and_what_to_do(visit: Callable[..., Any], mill: str) -> None:
    page = visit(mill).open(f"{MILL}/leaks/{OUTSIDE_ID}?version=3")
    parts = page.get_by_role("region", name="What the memory consists of")
    expect(parts.get_by_role("row").nth(1)).to_contain_text("malloc used")
    expect(parts.get_by_role("row").nth(1)).to_contain_text("90 MiB")
    expect(parts.get_by_role("row").nth(1)).to_contain_text("2.4 MiB/min")
    expect(page.get_by_role("region", name="Who may make it").get_by_role("listitem")).to_have_text(
        ["lxml", "numpy"]
    )
    expect(page.get_by_role("region", name="What to change")).to_contain_text("heapwatch run --native")
    expect(page.get_by_role("main")).to_contain_text("native mode is off")
    expect(page.get_by_role("row").filter(has_text="Growth of RSS")).to_contain_text("3 MiB/min")
    # What is known of objects only has no place here.
    for name in ("What holds the objects", "Stack", "Endpoints that make them"):
        expect(page.get_by_role("region", name=name)).to_have_count(0)
    expect(page.get_by_role("main")).not_to_contain_text("objects/")
