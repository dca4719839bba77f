"""The Prometheus page shows the living, each with its latest values, in a text that parsers read."""

from __future__ import annotations

from typing import Any

from heapwatch_collector.live import MOST_SERIES, Live
from heapwatch_collector.prometheus import agent_families
from heapwatch_collector.store.batch import Batch, Instance, Point, Series
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

RSS = "process.memory.usage"
PAUSE = "heapwatch.gc.pause"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def delivery(instance: str, *points: tuple[Series, Point]) -> Batch:
    batch = Batch(1)
    batch.add_instance(Instance("shop", "1", instance, pid="41"), 1)
    for series, point in points:
        batch.add_point(batch.add_series(series), point)
    return batch


def gauge(instance: str, name: str = RSS, labels: tuple[tuple[str, str], ...] = ()) -> Series:
    return Series("shop", "metric", name, "1", instance, labels, "gauge")


def shown(live: Live) -> list[tuple[str, float]]:
    return sorted((series.instance, point.value) for series, _, point in live.values())


def test_an_instance_leaves_after_a_minute_or_three_of_its_pushes() -> None:
    clock = Clock()
    live = Live(clock)
    for step in range(3):
        clock.now = 1000.0 + 10 * step
        live.update(delivery("quick", (gauge("quick"), Point(step, step))))
    live.update(delivery("slow", (gauge("slow"), Point(1, 7.0))))
    clock.now += 100
    live.update(delivery("slow", (gauge("slow"), Point(2, 8.0))))
    assert shown(live) == [("slow", 8.0)]
    clock.now += 299
    assert shown(live) == [("slow", 8.0)]
    clock.now += 2
    assert shown(live) == []


def test_a_profile_between_two_pushes_does_not_count_as_one() -> None:
    clock = Clock()
    live = Live(clock)
    for _ in range(3):
        clock.now += 30
        live.update(delivery("a"))
        clock.now += 0.1
        live.update(delivery("a", (gauge("a"), Point(1, 7.0))))
    clock.now += 89
    assert shown(live) == [("a", 7.0)]


def test_an_instance_shows_a_bounded_number_of_series() -> None:
    live = Live(Clock())
    made_up = [(gauge("a", labels=(("id", str(n)),)), Point(1, n)) for n in range(MOST_SERIES + 10)]
    live.update(delivery("a", *made_up))
    live.update(delivery("a", (made_up[0][0], Point(2, -1.0))))
    assert (len(live.values()), min(shown(live))) == (MOST_SERIES, ("a", -1.0))


def test_a_late_point_does_not_replace_a_later_one() -> None:
    live = Live(Clock())
    live.update(delivery("a", (gauge("a"), Point(20, 2.0))))
    live.update(delivery("a", (gauge("a"), Point(10, 1.0))))
    assert shown(live) == [("a", 2.0)]


def parsed(live: Live) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    class Page(Collector):
        def collect(self) -> Any:
            return agent_families(live.values())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Page())
    text = generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def test_histograms_and_counters_are_spelled_as_prometheus_wants() -> None:
    live = Live(Clock())
    pause = Series(
        "shop", "metric", PAUSE, "1", "a", (("cpython.gc.generation", "2"),), "histogram", (0.001, 0.5)
    )
    count = Series("shop", "metric", "cpython.gc.collections", "1", "a", (), "counter")
    unknown = Series("shop", "metric", "their.own", "1", "a", (), "gauge")
    points = (pause, Point(1, 0.75, 6, (3, 2, 1))), (count, Point(1, 9.0)), (unknown, Point(1, 1.0))
    live.update(delivery("a", *points))
    owner = {("service", "shop"), ("version", "1"), ("instance", "a"), ("pid", "41")}
    generation = owner | {("cpython_gc_generation", "2")}
    name = "heapwatch_gc_pause_seconds"
    assert parsed(live) == {
        (f"{name}_bucket", frozenset(generation | {("le", "0.001")})): 3,
        (f"{name}_bucket", frozenset(generation | {("le", "0.5")})): 5,
        (f"{name}_bucket", frozenset(generation | {("le", "+Inf")})): 6,
        (f"{name}_count", frozenset(generation)): 6,
        (f"{name}_sum", frozenset(generation)): 0.75,
        ("cpython_gc_collections_total", frozenset(owner)): 9,
    }


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=20))
def test_any_label_value_comes_through(value: str) -> None:
    live = Live(Clock())
    live.update(delivery(value, (gauge(value), Point(1, 1.0))))
    ((_, labels),) = parsed(live)
    assert dict(labels)["instance"] == value
