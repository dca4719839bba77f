"""Sites from the sampler's rows, and their bounded history."""

from __future__ import annotations

from heapwatch.leaks.sites import History, SiteTotals, roll_up
from heapwatch.sampler import Totals
from heapwatch_wire.sites import Frame

FEED = Frame("remember", "/srv/shop/feed.py", 88)
VIEW = Frame("view", "/srv/shop/views.py", 12)
JSON = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 346)


STACKS = {1: (FEED, VIEW), 2: (JSON, FEED), 3: (VIEW,)}


def row(stack: int, size: float, label: int = 0, thread: str = "MainThread") -> Totals:
    return Totals(stack, label, thread, size / 100, size, size / 50, size * 2)


def test_stacks_count_where_their_responsible_frame_is() -> None:
    sites = roll_up([row(1, 1000), row(2, 500, label=3), row(3, 10)], {}, STACKS.__getitem__)
    assert set(sites) == {FEED, VIEW}
    feed = sites[FEED]
    assert (feed.live_bytes, feed.live_objects, feed.alloc_bytes) == (1500, 15, 3000)
    assert feed.heaviest_stack(STACKS.__getitem__) == (FEED, VIEW)
    assert dict(feed.labels) == {0: 1000, 3: 500}


def test_known_stacks_are_remembered_as_long_as_they_are_seen() -> None:
    known: dict[int, Frame] = {}
    asked: list[int] = []

    def frames(stack: int) -> tuple[Frame, ...]:
        asked.append(stack)
        return STACKS[stack]

    roll_up([row(2, 1), row(3, 1)], known, frames)
    assert known == {2: FEED, 3: VIEW}
    roll_up([row(3, 1)], known, frames)
    assert known == {3: VIEW}
    assert asked == [2, 3]


def test_a_site_where_nothing_lives_or_whose_stack_is_gone_still_has_a_stack() -> None:
    gone = roll_up([row(1, 1000)], {}, STACKS.__getitem__)[FEED]
    assert SiteTotals(FEED).heaviest_stack(STACKS.__getitem__) == (FEED,)
    assert gone.heaviest_stack(lambda stack: ()) == (FEED,)


def at(size: float) -> dict[Frame, SiteTotals]:
    return roll_up([row(1, size)], {}, STACKS.__getitem__) if size else {}


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
        rows = [row(n, 1e6 + (time * 1000.0 * n if n < 3 else 0)) for n in range(50)]
        history.observe(float(time), roll_up(rows, {}, lambda stack: (frames[stack],)))
    assert history.grown(1000) == [frames[2], frames[1]]
    assert sum(bool(history.points(frame)) for frame in frames) == 5
    assert len(history.points(frames[2])) >= 18


def test_a_site_that_was_dropped_does_not_come_back_as_a_jump() -> None:
    history = History(max_sites=1)
    big, growing = Frame("big", "/srv/a.py", 1), Frame("growing", "/srv/b.py", 1)
    for time in range(10):
        rows = [row(1, 5e6), row(2, 1e4 * time)]
        history.observe(float(time), roll_up(rows, {}, {1: (big,), 2: (growing,)}.__getitem__))
    assert history.grown(1e4) == [growing]
