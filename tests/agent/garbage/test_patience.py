"""Waiting for a moment without a request is given up where none comes, and taken up again where they do."""

from __future__ import annotations

import pytest
from heapwatch.gctuner.patience import ENOUGH, Patience

ROOM = 20_000
NATURAL = 700


@pytest.fixture
def patience() -> Patience:
    patience = Patience()
    patience.room, patience.per_request = ROOM, 200.0
    return patience


def serve(patience: Patience, requests: int, gap_every: int) -> None:
    """Requests among three others that run; at each `gap_every`th end no other does (0: never)."""
    for number in range(requests):
        patience.ended(0 if gap_every and number % gap_every == 0 else 3)


def test_it_waits_where_moments_without_a_request_come_in_time(patience: Patience) -> None:
    serve(patience, ENOUGH, gap_every=50)
    patience.judge()
    assert patience.pays
    assert patience.stopped_share == 0


def test_it_does_not_wait_where_they_come_too_seldom(patience: Patience) -> None:
    serve(patience, ENOUGH, gap_every=200)
    assert patience.judge()
    assert not patience.pays
    assert patience.stopped_share > 0.01


def test_it_waits_again_when_they_come_again(patience: Patience) -> None:
    serve(patience, ENOUGH, gap_every=0)
    assert patience.judge()
    serve(patience, ENOUGH, gap_every=10)
    assert patience.judge()
    assert patience.pays


def test_what_is_clearly_bad_is_given_up_at_once(patience: Patience) -> None:
    patience.room = ROOM // 4
    serve(patience, ENOUGH // 2, gap_every=0)
    assert patience.judge()


def test_nothing_is_decided_before_anything_is_known() -> None:
    patience = Patience()
    serve(patience, 2 * ENOUGH, gap_every=0)
    assert not patience.judge()
    assert patience.pays


def test_the_fewer_requests_run_the_earlier_it_collects(patience: Patience) -> None:
    serve(patience, 500, gap_every=0)
    levels = [patience.level(running, ROOM, NATURAL) for running in (0, 1, 2, 3, 30)]
    assert levels[0] == NATURAL
    assert levels == sorted(levels)
    assert levels[0] < levels[1] < levels[2] < levels[3] <= levels[4] < ROOM
