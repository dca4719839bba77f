"""Every collection is counted, and measuring makes no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from heapwatch.gcstats import GcStats


@pytest.fixture
def stats() -> Iterator[GcStats]:
    stats = GcStats()
    stats.install()
    yield stats
    stats.remove()


def test_collections_and_pauses_by_generation(stats: GcStats) -> None:
    gc.disable()
    try:
        stats.reset()
        for generation, count in ((0, 3), (1, 2), (2, 1)):
            for _ in range(count):
                gc.collect(generation)
        found = list(stats.generations())
    finally:
        gc.enable()
    assert [g.collections for g in found] == [3, 2, 1]
    assert [sum(g.pause_counts) for g in found] == [3, 2, 1]
    assert all(0 < g.pause_sum < 100 for g in found)


def test_a_pause_counts_for_each_request_that_runs(stats: GcStats) -> None:
    gc.disable()
    try:
        stats.reset()
        gc.collect(0)
        assert stats.suffered == 0.0
        stats.running = (1, 2, 3)
        gc.collect(0)
        assert stats.suffered > 0
        assert stats.suffered == pytest.approx(3 * stats.inside().sum)
    finally:
        gc.enable()


def test_collected_cycles_are_counted(stats: GcStats) -> None:
    gc.collect()
    stats.reset()
    for _ in range(50):
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
    gc.collect()
    assert sum(g.collected for g in stats.generations()) >= 50


def test_the_callback_makes_nothing_that_the_collector_tracks(stats: GcStats) -> None:
    info = {"generation": 0, "collected": 0, "uncollectable": 0}
    callback = gc.callbacks[-1]

    def made() -> int:
        before = gc.get_count()[0]
        for _ in range(1000):
            callback("start", info)
            callback("stop", info)
        return gc.get_count()[0] - before

    gc.disable()
    try:
        assert min(made() for _ in range(5)) < 10  # threads that other tests left may make something too
    finally:
        gc.enable()


def test_nothing_is_measured_after_removal(stats: GcStats) -> None:
    stats.remove()
    before = [sum(g.pause_counts) for g in stats.generations()]
    gc.collect()
    assert [sum(g.pause_counts) for g in stats.generations()] == before
