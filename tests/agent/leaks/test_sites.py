"""Sites from the sampler's rows."""

from __future__ import annotations

from heapwatch.leaks.sites import Responsible, SiteTotals, levels, roll_up
from heapwatch.sampler import Totals
from heapwatch_wire.sites import Frame

FEED = Frame("remember", "/srv/shop/feed.py", 88)
VIEW = Frame("view", "/srv/shop/views.py", 12)
JSON = Frame("loads", "/usr/lib/python3.11/json/__init__.py", 346)
STACKS = {1: (FEED, VIEW), 2: (JSON, FEED), 3: (VIEW,)}
KNOWN = {1: FEED, 2: FEED, 3: VIEW}


def row(stack: int, size: float, label: int = 0, thread: str = "MainThread") -> Totals:
    return Totals(stack, label, thread, size / 100, size, size / 50, size * 2)


def test_stacks_count_where_their_responsible_frame_is() -> None:
    rows = [row(1, 1000), row(2, 500, label=3), row(3, 10)]
    sites = roll_up(rows, KNOWN)
    assert set(sites) == {FEED, VIEW}
    feed = sites[FEED]
    assert (feed.live_bytes, feed.live_objects, feed.alloc_bytes) == (1500, 15, 3000)
    assert feed.heaviest_stack(STACKS.__getitem__) == (FEED, VIEW)
    assert dict(feed.labels) == {0: 1000, 3: 500}


def test_what_lives_is_added_up_by_site() -> None:
    parts = [(1, 1000.0, 10.0), (2, 500.0, 5.0), (1, 24.0, 1.0), (3, 10.0, 0.1)]
    assert levels(parts, Responsible(STACKS.__getitem__)) == {FEED: [1524, 16], VIEW: [10, 0.1]}


def test_details_can_be_had_of_a_few_sites() -> None:
    assert set(roll_up([row(1, 1000), row(3, 10)], KNOWN, only={VIEW})) == {VIEW}


def test_known_stacks_are_remembered_as_long_as_they_are_seen() -> None:
    asked: list[int] = []

    def frames(stack: int) -> tuple[Frame, ...]:
        asked.append(stack)
        return STACKS[stack]

    responsible = Responsible(frames)
    assert responsible.of([2, 3]) == {2: FEED, 3: VIEW}
    assert responsible.of([3]) == {3: VIEW}
    assert asked == [2, 3]
    responsible.of([2])
    assert asked == [2, 3, 2]


def test_a_site_where_nothing_lives_or_whose_stack_is_gone_still_has_a_stack() -> None:
    gone = roll_up([row(1, 1000)], KNOWN)[FEED]
    assert SiteTotals(FEED).heaviest_stack(STACKS.__getitem__) == (FEED,)
    assert gone.heaviest_stack(lambda stack: ()) == (FEED,)
