"""The evidence as text: all that matters is there, nothing is wider than a terminal."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from heapwatch.cli.render import evidence_table, evidence_text, holders_text
from heapwatch_wire.evidence import (
    Call,
    Evidence,
    Forecast,
    Growth,
    Holder,
    Recommendation,
    Share,
    Site,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
NOON = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))
STACK = tuple(
    Call(f"step_{n}", f"/srv/shop/venv/lib/python3.11/site-packages/lib/m{n}.py", n) for n in range(12)
)

EVIDENCE = Evidence(
    verdict="leak",
    service="shop",
    version="1.4.2",
    site=Site(
        "3f2a9c0d11e84b56", "remember", "/srv/shop/feed.py", 88, Call("view", "/srv/shop/views.py", 31), STACK
    ),
    type="shop.models.Listener",
    live_bytes=30 * MIB,
    live_objects=41_000,
    growth=Growth(2.5 * MIB / 60, 2 * MIB / 60, 3 * MIB / 60, 52),
    time=NOON,
    instances=4,
    growing=3,
    statistics={"z": 8.1},
    thresholds={"leak_z": 4.0},
    reasons=("growth is 8.1 standard errors above zero over 120 s (needs 4)",),
    holders=(
        Holder("shop.events.REGISTRY['photo'][*]", "module", ("dict", "list", "shop.models.Listener"), 0.83),
        Holder("shop.LOCAL.seen[*] of thread 'worker'", "thread", ("list", "shop.models.Listener"), 0.17),
    ),
    endpoints=(Share("GET /p/<int:id>", 0.92), Share("", 0.08)),
    forecast=Forecast(300 * MIB, 512 * MIB, 7800, 6600, 9000),
    recommendation=Recommendation(
        "Unregister the listener", "Call unregister() when the request ends.", 150 * MIB
    ),
    links={"page": "http://127.0.0.1:4040/leaks/3f2a"},
)


def test_the_whole_story_is_told() -> None:
    text = evidence_text(EVIDENCE)
    for part in (
        "LEAK in shop 1.4.2",
        "remember (/srv/shop/feed.py:88) makes shop.models.Listener objects that nothing frees",
        "+2.50 MiB a minute, +150 MiB an hour",
        "95% sure: +2.00 MiB to +3.00 MiB a minute",
        "3,120 objects a minute, in 3 of 4 processes",
        "30.0 MiB in 41,000 objects",
        "your code: view (/srv/shop/views.py:31)",
        "83%  shop.events.REGISTRY['photo'][*]",
        "ends at a module's global",
        "dict > list > shop.models.Listener",
        "17%  shop.LOCAL.seen[*] of thread 'worker'",
        "92%  GET /p/<int:id>",
        "8%  outside of requests",
        "512 MiB is met in 2 h 10 min, at 14:10; now 300 MiB",
        "80% sure: in 1 h 50 min at the earliest, at the latest in 2 h 30 min",
        "Unregister the listener",
        "Call unregister() when the request ends.",
        "Saves 150 MiB an hour.",
        "- growth is 8.1 standard errors above zero over 120 s (needs 4)",
        "step_0 (lib/m0.py)",
        "... and 4 callers more",
        "page: http://127.0.0.1:4040/leaks/3f2a",
    ):
        assert part in text, part


def test_what_is_unknown_is_left_out() -> None:
    bare = Evidence(
        "suspicion", "", "", Site("0" * 16, "f", "a.py", 1), "", 1.0, 1.0, Growth(1, 0, 2, 1), NOON
    )
    text = evidence_text(bare)
    assert text.startswith("SUSPICION (growing, not yet proved a leak)\n")
    assert "f (a.py:1) makes more and more memory." in text
    for label in ("type", "held by", "made by", "limit", "change", "see", "processes"):
        assert not any(line.startswith(label) for line in text.splitlines()), label


def test_without_reasons_the_statistics_speak() -> None:
    assert "- z 8.1" in evidence_text(replace(EVIDENCE, reasons=()))


def test_growth_that_may_stop_has_no_latest_time() -> None:
    text = evidence_text(replace(EVIDENCE, forecast=Forecast(1, 2, 60, 30, None)))
    assert "it may never come" in text


def test_the_table_has_the_fastest_first() -> None:
    slow = replace(EVIDENCE, verdict="suspicion", growth=Growth(10, 1, 20, 1))
    lines = evidence_table([slow, EVIDENCE]).splitlines()
    assert "+2.50 MiB" in lines[1]
    assert "LEAK" in lines[1]
    assert "suspicion" in lines[2]
    assert lines[1].endswith("feed.py:88)")


def test_holders_alone() -> None:
    text = holders_text(EVIDENCE.site, EVIDENCE.type, EVIDENCE.holders, ["2 of 2 are reachable"])
    assert "83%  shop.events.REGISTRY['photo'][*]" in text
    assert "- 2 of 2 are reachable" in text


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=150)


@pytest.mark.parametrize("render", [evidence_text, lambda e: evidence_table([e])])
@given(path=words, function=words, kind=words, reason=st.text(max_size=300))
def test_no_line_is_wider_than_a_hundred_columns(  # type: ignore[no-untyped-def]
    render, path: str, function: str, kind: str, reason: str
) -> None:
    site = replace(EVIDENCE.site, function=function, file=path)
    text = render(replace(EVIDENCE, site=site, type=kind, reasons=(reason,)))
    assert max(map(len, text.splitlines())) <= 100
