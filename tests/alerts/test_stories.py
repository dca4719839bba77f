"""Alerts over time, on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heapwatch_alerts.page import PageError
from heapwatch_alerts.rules import BY_ALERT
from heapwatch_alerts.transport import TransportError
from heapwatch_wire.metrics import BY_NAME

LABELS = {"service": "shop", "version": "1.4", "instance": "web-1-9c2"}


class Line:
    def __init__(self, metric: str, at: Callable[[float], float | None], **labels: str) -> None:
        self.name, self.at, self.labels = BY_NAME[metric].prometheus, at, {**LABELS, **labels}


def memory(at: Callable[[float], float]) -> list[Line]:
    """An instance that uses `at(minute)` of its limit."""
    return [
        Line("container.memory.working_set", lambda t: at(t / 60) * 1e9),
        Line("heapwatch.container.memory.limit", lambda t: 1e9),
    ]


def test_every_rule_has_a_case(cases: dict[str, Any]) -> None:
    assert set(cases) == set(BY_ALERT)


def test_fires_on_what_it_is_for_and_not_on_its_neighbour(case: Any, story: Any) -> None:
    name, worlds = case
    only = {"rules": [BY_ALERT[name]]}
    assert story(worlds.firing, options=only).run(worlds.minutes).times("firing", name)
    assert story(worlds.quiet, options=only).run(worlds.minutes).events == []


def test_memory_passes_85_percent_at_5_minutes_and_falls_at_12(story: Any) -> None:
    told = story(memory(lambda m: 0.9 if 5 <= m < 12 else 0.6)).run(20)
    (fired,), (resolved,) = told.times("firing", "MemoryCritical"), told.times("resolved", "MemoryCritical")
    assert 7 <= fired <= 8
    assert 12 <= resolved <= 12.5
    (high,) = told.times("firing", "MemoryHigh")
    assert 10 <= high <= 10.5


def test_a_spike_shorter_than_the_hold_time_wakes_nobody(story: Any) -> None:
    told = story(memory(lambda m: 0.95 if 5 <= m < 6.5 or 8 <= m < 9.5 else 0.6)).run(15)
    assert told.events == []


def test_a_leak_is_told_at_once_and_ends_with_its_verdict(story: Any) -> None:
    leak = Line(
        "heapwatch.leak.growth",
        lambda t: 5e3 if 180 <= t < 600 else None,
        heapwatch_site="5f0c",
        code_function_name="load",
        code_file_path="shop/feed.py",
        code_line_number="17",
    )
    told = story([leak]).run(15)
    assert told.times("firing", "MemoryLeak") == [3.0]
    assert told.times("resolved", "MemoryLeak") == [10.0]


def test_growth_is_not_judged_in_the_first_45_minutes_of_a_process(story: Any) -> None:
    grows = [
        Line("process.memory.usage", lambda t: 3e8 + t * 150e6 / 3600),
        Line("process.uptime", lambda t: t),
    ]
    told = story(grows).run(75)
    (fired,) = told.times("firing", "MemoryGrowth")
    assert 60 <= fired <= 61


def test_a_killed_worker_is_told_once_and_forgotten_after_ten_minutes(story: Any) -> None:
    kills = Line(
        "heapwatch.container.memory.events", lambda t: 2.0 if t >= 300 else 1.0, heapwatch_event="oom_kill"
    )
    told = story([kills]).run(30)
    assert told.times("firing", "OutOfMemory") == [5.0]
    (resolved,) = told.times("resolved", "OutOfMemory")
    assert 14.5 <= resolved <= 15.5


def test_an_instance_that_leaves_the_page_ends_its_alert(story: Any) -> None:
    used = Line("container.memory.working_set", lambda t: 0.9e9 if t < 600 else None)
    limit = Line("heapwatch.container.memory.limit", lambda t: 1e9 if t < 600 else None)
    told = story([used, limit]).run(15)
    assert told.times("resolved", "MemoryCritical") == [10.0]


def fails_between(first: float, last: float) -> Callable[[float], None]:
    def fault(now: float) -> None:
        if first <= now / 60 < last:
            raise PageError("connection refused")

    return fault


def test_a_restart_of_the_collector_ends_no_alert(story: Any) -> None:
    told = story(memory(lambda m: 0.9), fault=fails_between(5, 6)).run(15)
    assert told.times("firing", "MemoryCritical") == [2.0]
    assert told.times("resolved", "MemoryCritical") == []
    assert told.times("firing", "CollectorDown") == []


def test_a_lost_collector_is_told_and_what_was_seen_expires(story: Any) -> None:
    told = story(memory(lambda m: 0.9), fault=fails_between(5, 15)).run(25)
    (down,), (up,) = told.times("firing", "CollectorDown"), told.times("resolved", "CollectorDown")
    assert 7 <= down <= 7.5
    assert 15 <= up <= 15.25
    (expired,) = told.times("resolved", "MemoryCritical")
    assert 9.5 <= expired <= 10.5
    assert 17 <= told.times("firing", "MemoryCritical")[1] <= 17.5


class Receiver:
    """Counts what it is told; refuses while `down`."""

    def __init__(self) -> None:
        self.down = False
        self.attempts = 0

    def send(self, alerts: Any, now: float) -> int:
        self.attempts += 1
        if self.down:
            raise TransportError("receiver: connection refused")
        return len(alerts)


def test_a_receiver_that_is_down_stops_nothing(story: Any) -> None:
    dead, alive = Receiver(), Receiver()
    dead.down = True
    told = story(memory(lambda m: 0.9), senders=[dead, alive]).run(10)
    assert told.times("firing", "MemoryCritical") == [2.0]
    assert dead.attempts == alive.attempts == 41
    assert told.watch.counts.failed_notifications == 41


def test_a_failure_that_lasts_is_reported_at_its_begin_and_its_end(story: Any) -> None:
    lines: list[str] = []
    told = story(memory(lambda m: 0.1), fault=fails_between(5, 7), options={"report": lines.append})
    told.run(20)
    assert lines == ["not read: connection refused", "over: not read: connection refused"]
    assert told.watch.counts.failed_readings == 8


def test_details_are_looked_up_once_and_for_a_few_alerts_only(story: Any) -> None:
    asked: list[str] = []

    def detail(alert: Any) -> dict[str, str]:
        asked.append(alert.rule.name)
        return {"held_by": "shop.SESSIONS"}

    leaks = [
        Line("heapwatch.leak.growth", lambda t: 5e3, heapwatch_site=str(i), code_function_name="load")
        for i in range(25)
    ]
    told = story(leaks, options={"detail": detail}).run(5)
    assert len(told.times("firing", "MemoryLeak")) == 25
    assert asked == ["MemoryLeak"] * 10
    assert sum(alert.details == {"held_by": "shop.SESSIONS"} for alert in told.watch.firing) == 10
