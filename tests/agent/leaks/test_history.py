"""The history of the sites that grow most: what it keeps, and in how many bytes."""

from __future__ import annotations

import random
import tracemalloc

from heapwatch.leaks.history import BUDGET, History
from heapwatch.leaks.sites import Levels
from heapwatch_wire.sites import Frame

FEED = Frame("remember", "/srv/shop/feed.py", 88)
VIEW = Frame("view", "/srv/shop/views.py", 12)


def at(size: float) -> Levels:
    return {FEED: [size, size / 100]} if size else {}


def many(count: int) -> list[Frame]:
    return [Frame(f"f{n}", "/srv/shop/many.py", n) for n in range(count)]


def test_history_holds_each_observation() -> None:
    history = History()
    for time, size in enumerate([100.0, 300.0, 0.0, 200.0]):
        history.observe(float(time), at(size))
    assert history.points(FEED) == [(0.0, 100.0, 1.0), (1.0, 300.0, 3.0), (2.0, 0.0, 0.0), (3.0, 200.0, 2.0)]
    assert history.points(VIEW) == []


def test_a_site_that_appears_later_starts_from_nothing() -> None:
    history = History()
    history.observe(1.0, {})
    history.observe(2.0, at(50.0))
    assert history.points(FEED) == [(1.0, 0.0, 0.0), (2.0, 50.0, 0.5)]


def test_history_is_bounded_in_time() -> None:
    history = History(max_points=10)
    for time in range(25):
        history.observe(float(time), at(float(time)))
    assert [p[0] for p in history.points(FEED)] == [float(t) for t in range(15, 25)]
    assert [p[1] for p in history.points(FEED)] == [float(t) for t in range(15, 25)]


def test_of_too_many_sites_the_growing_ones_stay() -> None:
    history = History(max_sites=5)
    frames = many(50)
    for time in range(20):
        history.observe(
            float(time), {f: [1e6 + (time * 1000.0 * n if n < 3 else 0), 1.0] for n, f in enumerate(frames)}
        )
    assert history.grown(1000) == [frames[2], frames[1]]
    assert sum(bool(history.points(frame)) for frame in frames) == 5
    assert len(history.points(frames[2])) >= 18


def test_a_site_that_was_dropped_does_not_come_back_as_a_jump() -> None:
    history = History(max_sites=1)
    big, growing = Frame("big", "/srv/a.py", 1), Frame("growing", "/srv/b.py", 1)
    for time in range(10):
        history.observe(float(time), {big: [5e6, 1.0], growing: [1e4 * time, 1.0]})
    assert history.grown(1e4) == [growing]


def test_a_leak_is_found_among_more_sites_than_there_are_candidates() -> None:
    """Two thousand sites swing, one grows slower than they swing; a hundred can be remembered."""
    history, rng, frames = History(max_sites=20, max_candidates=100), random.Random(1), many(2000)
    for time in range(300):
        sites = {frame: [1e6 + rng.uniform(0, 2e4), 1.0] for frame in frames}
        sites[frames[1234]] = [1e6 + 1e3 * time, 1.0]
        history.observe(float(time), sites)
    assert history.grown(1e4)[0] == frames[1234]


def test_the_budget_holds_whatever_the_number_of_sites() -> None:
    history, frames = History(), many(12_000)
    levels: Levels = {frame: [1e6, 1e3] for frame in frames}
    grows = frames[::100]
    tracemalloc.start()
    try:
        for time in range(361):
            for number, frame in enumerate(grows):
                levels[frame] = [1e6 + 1e3 * time * number, 1e3 + time]
            history.observe(float(time), levels if time % 100 == 0 else {f: levels[f] for f in grows})
        history.observe(400.0, levels)
        taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/leaks/history.py")])
    finally:
        tracemalloc.stop()
    assert sum(trace.size for trace in taken.traces) < BUDGET
