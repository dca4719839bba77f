"""What top shows is made of what agents say at two moments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from heapwatch.cli.top import plain
from heapwatch.cli.top.history import WINDOW, History
from heapwatch.cli.top.reading import Reading
from heapwatch.cli.top.screen import SECTIONS, Choice, sorts, tables, title

MIB = 1 << 20
BOUNDS = (0.1, 0.2, 0.4)


def site(name: str, live: float, alloc: float, growth: float = 0.0) -> dict[str, Any]:
    return {
        **{"id": name * 16, "function": name, "file": f"/srv/shop/{name}.py", "line": 7},
        **{"live_bytes": live, "live_objects": live / 100, "alloc_bytes": alloc, "alloc_objects": 1.0},
        **{"inherited_bytes": 0.0, "growth": growth},
    }


def endpoint(name: str, counts: list[int], repeated: int = 0) -> dict[str, Any]:
    repeats = [{"statement": "SELECT ?", "requests": 1, "most": repeated, "line": "feed (shop.py:3)"}]
    return {
        **{
            "kind": "request",
            "name": name,
            "requests": sum(counts),
            "seconds": 0.1 * sum(counts),
            "allocated": 4096.0,
        },
        **{"retained": 1024.0, "live": 512.0, "statements": 2.0 * sum(counts)},
        "durations": {"bounds": BOUNDS, "counts": counts},
        "repeated": repeats if repeated else [],
    }


def reading(pid: int, at: float, *, rss: int = 100 * MIB, paused: float = 0.0, **given: Any) -> Reading:
    quantiles = {"count": 3, "p50": 0.001, "p99": 0.06, "max": 0.07}
    generation = {"collections": int(at), "collected": 10, "seconds": paused, "quantiles": quantiles}
    idle = {"collections": 0, "collected": 0, "seconds": 0.0, "quantiles": {"count": 0}}
    info = {
        **{"service": "shop", "version": "1", "uptime": at, "watched": at, "instance": f"host-{pid}"},
        **{"rss": rss, "peak": rss, "live_bytes": 5 * MIB, "reason": ""},
    }
    return Reading(
        pid,
        given.get("main", pid),
        at,
        {**info, **given.get("info", {})},
        given.get("sites", ()),
        {
            "pause_generations": [generation, idle, idle],
            "thresholds": [700, 10, 10],
            "counts": [1, 2, 3],
        },
        {"in_flight": 2, "endpoints": given.get("endpoints", [])},
        used=900 * MIB,
        limit=1024 * MIB,
    )


def test_rates_are_of_the_time_between_two_readings() -> None:
    history = History()
    first = history.view(
        [reading(1, 100, sites=[site("feed", 100, 1000)], endpoints=[endpoint("GET /", [50, 0, 0, 0])])], 0.0
    )
    assert first.window is None
    assert first.processes[0].growth is None
    assert first.endpoints[0].requests_per_second == pytest.approx(0.5)

    view = history.view(
        [
            reading(
                1,
                110,
                rss=160 * MIB,
                paused=0.5,
                sites=[site("feed", 300, 6000, growth=3.0)],
                endpoints=[endpoint("GET /", [50, 100, 0, 0])],
            )
        ],
        10.0,
    )
    assert view.window == 10
    [process] = view.processes
    assert (process.growth, process.gc_share) == (6 * MIB, 0.05)
    assert (process.requests_per_second, process.requests_in_flight) == (10, 2)
    assert view.sites[0].alloc_rate == 500
    assert view.endpoints[0].p99 == pytest.approx(0.199)
    assert [row.collections_per_second for row in view.gc] == [1.0, 0, 0]


def test_workers_are_added_up_under_their_main_process_and_by_service() -> None:
    feed = site("feed", 100, 1000)
    view = History().view(
        [
            reading(30, 10, main=20, sites=[feed], endpoints=[endpoint("GET /", [10, 0, 0, 0], 12)]),
            reading(20, 10, sites=[feed], endpoints=[endpoint("GET /", [0, 0, 0, 30])]),
            reading(10, 10, sites=[feed], info={"service": "mail"}),
        ],
        0.0,
    )
    assert [process.pid for process in view.processes] == [10, 20, 30]
    assert [(row.service, row.live_bytes) for row in view.sites] == [("shop", 200), ("mail", 100)]
    [row] = view.endpoints
    assert (row.requests, row.p99, row.repeated) == (40, 0.4, 12)
    shown = plain.text(title(view), tables(view, Choice(), 140), 140)
    assert "└ 30" in shown
    assert "x12 feed (shop.py:3)!" in shown
    assert "mail" in shown.splitlines()[3]


def test_a_restart_and_a_silent_agent_are_no_figures() -> None:
    history = History()
    history.view([reading(1, 100, rss=900 * MIB), reading(2, 100)], 0.0)
    again = reading(1, 110, info={"instance": "anew", "watched": 5.0})
    view = history.view([again, Reading(2, 2, 110.0, silent="doesn't answer within 2 s")], 10.0)
    assert view.processes[1].growth is None
    assert "doesn't answer within 2 s" in plain.text("", tables(view, Choice(), 120), 120)
    back = history.view([replace(again, time=120.0), reading(2, 120)], 20.0)
    assert back.processes[1].growth == 0


def test_old_readings_are_forgotten() -> None:
    history = History()
    for second in range(0, 200, 10):
        view = history.view([reading(1, float(second))], 0.0)
    assert view.window == WINDOW


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_lines_fit_and_what_is_urgent_says_so_without_colour(width: int) -> None:
    history = History()
    long = site("a_function_with_a_very_long_name_indeed", 5 * MIB, 0, growth=1e6)
    for at in (100.0, 110.0):
        readings = [reading(1, at, rss=int(at) * MIB, sites=[long], endpoints=[endpoint("GET /", [1] * 4)])]
        view = history.view(readings, at)
    shown = plain.text(title(view), tables(view, Choice(), width), width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "+60.0 MiB!" in shown
    assert "a_function" in shown
    if width >= 100:
        assert "88% of 1.00 GiB!" in shown
        assert "60 ms!" in shown


def test_every_order_of_every_section_puts_the_largest_first() -> None:
    rows = [site("a", 100, 5, 9.0), site("b", 900, 9, 1.0)]
    view = History().view([reading(1, 10, sites=rows, endpoints=[endpoint("GET /", [1, 1, 1, 1])])], 0.0)
    for section in SECTIONS:
        for order in sorts(section):
            shown = tables(view, Choice(section, order, limit=1), 120)[1]
            assert shown.title == f"{section}, by {order}"
    assert tables(view, Choice("sites", "live", 1), 120)[1].rows[0][-1].startswith("b ")
    by_growth = tables(view, Choice("sites", "growth/min", 1), 120)[1]
    assert by_growth.rows[0][-1].startswith("a ")
    assert by_growth.hidden == 1
