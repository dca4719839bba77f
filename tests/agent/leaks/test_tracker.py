"""The tracker from the sampler's rows to evidence, on a simulated clock."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from heapwatch.identity import Identity
from heapwatch.leaks.pace import Pace
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.sampler import Lifetimes, Owners, Row
from heapwatch_wire.evidence import Evidence, from_json, to_json
from heapwatch_wire.settings import AgentSettings
from heapwatch_wire.sites import Frame, site_id

START = 1.7e9
MIB = 1 << 20
FEED = Frame("remember", "/srv/shop/feed.py", 88)
VIEW = Frame("view", "/srv/shop/views.py", 12)
CACHE = Frame("fill", "/srv/shop/cache.py", 7)


class Page:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.fixture
def registry() -> Iterator[dict[str, Page]]:
    module = types.ModuleType("shop_registry")
    module.PAGES = {f"u:{n}": Page(n) for n in range(20)}  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module.PAGES  # type: ignore[attr-defined]
    del sys.modules[module.__name__]


def owners(stack: int, registry: dict[str, Page]) -> Callable[[Sequence[int], int], Iterator[Owners]]:
    """A sampler's `owners` for which all that is registered was allocated by `stack`."""

    def found(stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        yield [(stack, page) for page in list(registry.values())[:limit] if stack in stack_ids]

    return found


@pytest.fixture
def identity() -> Identity:
    return Identity("shop", "1.4", "host-1-a", 1, "host", "cpython", "3.11.7", START)


class World:
    """A tracker whose sampler sees a leak of `rate` MiB a minute at FEED and a cache that filled."""

    def __init__(self, sampler: Any, identity: Identity, rate: float = 3.0, **settings: Any) -> None:
        self.sampler, self.rate, self.now = sampler, rate, START
        # The heap that is searched is that of the whole test run.
        self.tracker = LeakTracker(sampler, AgentSettings(**{"holders_budget": 1.0, **settings}), identity)
        self.label = sampler.labels.intern("GET /feed")

    def run(self, seconds: float, tick: float = 1.0) -> None:
        """Let simulated time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += tick
            leaked = self.rate * MIB / 60 * (self.now - START)
            full = 50.0 * MIB
            self.sampler.rows = [
                Row(
                    1,
                    (FEED, VIEW),
                    False,
                    self.label,
                    "worker",
                    leaked / 500,
                    leaked,
                    leaked / 400,
                    leaked * 2,
                ),
                Row(2, (CACHE,), False, 0, "main", full / 500, full, full, full),
            ]
            self.tracker.observe(self.now)


@pytest.fixture
def world(sampler: Any, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """On simulated time, what the work takes here must not stretch its schedule."""
    monkeypatch.setattr("heapwatch.leaks.pace.time", types.SimpleNamespace(thread_time=lambda: 0.0))
    monkeypatch.setattr("heapwatch.leaks.holders.MAX_CPU", 60.0)  # the heap is that of all tests
    return lambda **kinds: World(sampler, identity, **kinds)


def test_a_leak_is_found_with_its_holder(world: Callable[..., World], registry: dict[str, Page]) -> None:
    leaking = world()
    leaking.sampler.owners = owners(1, registry)
    leaking.run(150)
    (document,) = leaking.tracker.documents()
    assert document.verdict == "leak"
    assert (document.service, document.version) == ("shop", "1.4")
    assert (document.site.function, document.site.line) == ("remember", 88)
    assert document.site.id == site_id(FEED)
    assert document.growth.bytes_per_second * 60 == pytest.approx(3 * MIB, rel=0.05)
    assert document.type == f"{__name__}.Page"
    assert [h.path for h in document.holders] == ["shop_registry.PAGES[*]"]
    assert [(e.name, e.share) for e in document.endpoints] == [("GET /feed", 1.0)]
    assert document.series[-1].bytes == pytest.approx(document.live_bytes)
    assert from_json(Evidence, to_json(document)) == document


def test_holders_are_known_before_the_leak_is_proved(
    world: Callable[..., World], registry: dict[str, Page]
) -> None:
    """Processes that prove a leak only together send their holders all the same."""
    leaking = world(rate=1.0)
    leaking.sampler.owners = owners(1, registry)
    leaking.run(75)
    assert leaking.tracker.suspicions() == []
    (document,) = leaking.tracker.documents()
    assert (document.verdict, document.holders[0].root) == ("suspicion", "module")
    assert document.growth.bytes_per_second * 60 == pytest.approx(MIB, rel=0.05)


def test_nothing_is_said_before_enough_was_seen(world: Callable[..., World]) -> None:
    leaking = world()
    leaking.run(35)
    assert leaking.tracker.documents() == []


@pytest.mark.parametrize(("ends", "verdict"), [(0.0, "leak"), (30.0, "suspicion")])
def test_what_is_freed_after_all_is_no_leak(world: Callable[..., World], ends: float, verdict: str) -> None:
    """Buckets 12 and 13 of ages are 32 to 64 and 64 to 128 seconds."""
    leaking = world()
    live, ended = (0.0,) * 12 + (20.0 * MIB, 10.0 * MIB), (0.0,) * 12 + (ends * MIB, ends * MIB)
    leaking.sampler.lifetimes = lambda stacks: {1: Lifetimes(ended, ended, live, live)}
    leaking.run(150)
    (document,) = leaking.tracker.documents()
    assert document.verdict == verdict
    assert (document.statistics["stays"] < document.thresholds["stays"]) == (verdict == "suspicion")
    assert any(("they stay" if verdict == "leak" else "turned over") in reason for reason in document.reasons)


def test_what_does_not_grow_is_no_suspect(world: Callable[..., World]) -> None:
    still = world(rate=0.0)
    still.run(300)
    assert still.tracker.documents() == []


def test_a_site_that_stops_growing_is_dropped(world: Callable[..., World]) -> None:
    leaking = world()
    leaking.run(200)
    assert leaking.tracker.documents()
    leaking.rate, stopped = 0.0, leaking.sampler.rows
    for _ in range(600):
        leaking.now += 1
        leaking.sampler.rows = stopped
        leaking.tracker.observe(leaking.now)
    assert leaking.tracker.documents() == []


def test_holders_are_not_searched_when_that_is_off(world: Callable[..., World]) -> None:
    leaking = world(holders=False)

    def never(stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        raise AssertionError("searched")

    leaking.sampler.owners = never
    leaking.run(150)
    assert leaking.tracker.documents()[0].holders == ()


def test_holders_can_be_asked_for_by_site(world: Callable[..., World], registry: dict[str, Page]) -> None:
    quiet = world(rate=0.0)
    quiet.sampler.owners = owners(2, registry)
    quiet.run(5)
    found = quiet.tracker.hold(site_id(CACHE), limit=240)
    assert found is not None
    site, outcome = found
    assert site.line == 7
    assert outcome.holders[0].path == "shop_registry.PAGES[*]"
    assert quiet.tracker.hold("0" * 16, limit=1) is None


def test_a_sampler_without_samples_is_no_failure(world: Callable[..., World]) -> None:
    empty = world()
    for second in range(30):
        empty.tracker.observe(START + second)
    assert empty.tracker.documents() == []
    assert empty.tracker.sites() == {}


def test_work_that_costs_more_comes_less_often() -> None:
    pace = Pace(interval=2.0, share=0.01, longest=60.0)
    assert pace.due(START)
    pace.spent(START, seconds=0.001)
    assert (pace.due(START + 1.9), pace.due(START + 2)) == (False, True)
    pace.spent(START, seconds=0.5)
    assert (pace.due(START + 49), pace.due(START + 50)) == (False, True)
    pace.spent(START, seconds=5.0)
    assert (pace.due(START + 59), pace.due(START + 60)) == (False, True)


def test_a_clock_set_back_does_not_stop_the_work() -> None:
    pace = Pace(interval=2.0, share=0.01, longest=60.0)
    pace.spent(START, seconds=0.0)
    assert pace.due(START - 86400)
