"""Sites from the sampler's rows, and their bounded history."""

from __future__ import annotations

from heapwatch.leaks.sites import History, SiteTotals, roll_up
from heapwatch.sampler import Row
from heapwatch_wire.sites import Frame

FEED = Frame("remember", "/srv/shop/feed.py", 88)
VIEW = Frame("view", "/srv/shop/views.py", 12)
JSON = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 346)


def row(
    stack: int, frames: tuple[Frame, ...], size: float, label: int = 0, thread: str = "MainThread"
) -> Row:
    return Row(stack, frames, False, label, thread, size / 100, size, size / 50, size * 2)


def test_stacks_count_where_their_responsible_frame_is() -> None:
    rows = [row(1, (FEED, VIEW), 1000), row(2, (JSON, FEED), 500, label=3), row(3, (VIEW,), 10)]
    sites = roll_up(rows, {})
    assert set(sites) == {FEED, VIEW}
    feed = sites[FEED]
    assert (feed.live_bytes, feed.live_objects, feed.alloc_bytes) == (1500, 15, 3000)
    assert feed.heaviest_stack() == (FEED, VIEW)
    assert dict(feed.labels) == {0: 1000, 3: 500}


def test_known_stacks_are_remembered_as_long_as_they_are_seen() -> None:
    known: dict[int, Frame] = {}
    roll_up([row(1, (JSON, FEED), 1), row(2, (VIEW,), 1)], known)
    assert known == {1: FEED, 2: VIEW}
    roll_up([row(2, (VIEW,), 1)], known)
    assert known == {2: VIEW}


def test_a_site_where_nothing_lives_still_has_a_stack() -> None:
    assert SiteTotals(FEED).heaviest_stack() == (FEED,)


def at(size: float) -> dict[Frame, SiteTotals]:
    return roll_up([row(1, (FEED,), size)], {}) if size else {}


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
    frames = [Frame(f"f{n}", "/srv/shop/many.py", n) for n in range(50)]
    for time in range(20):
        rows = [row(n, (frame,), 1e6 + (time * 1000.0 * n if n < 3 else 0)) for n, frame in enumerate(frames)]
        history.observe(float(time), roll_up(rows, {}))
    assert history.grown(1000) == [frames[2], frames[1]]
    assert sum(bool(history.points(frame)) for frame in frames) == 5
    assert len(history.points(frames[2])) >= 18


def test_a_site_that_was_dropped_does_not_come_back_as_a_jump() -> None:
    history = History(max_sites=1)
    big, growing = Frame("big", "/srv/a.py", 1), Frame("growing", "/srv/b.py", 1)
    for time in range(10):
        rows = [row(1, (big,), 5e6), row(2, (growing,), 1e4 * time)]
        history.observe(float(time), roll_up(rows, {}))
    assert history.grown(1e4) == [growing]
