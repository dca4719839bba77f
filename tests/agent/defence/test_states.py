"""States rise at once and fall with hysteresis."""

from __future__ import annotations

import pytest
from heapwatch.defence.states import HOLD, HYSTERESIS, Level, State, Thresholds
from heapwatch_wire.config import ConfigError
from hypothesis import given
from hypothesis import strategies as st

THRESHOLDS = Thresholds(0.75, 0.85, 0.9)


def test_a_state_is_entered_at_its_threshold_whatever_was_before() -> None:
    for used, state in ((0.74, State.OK), (0.75, State.SOFT), (0.85, State.SHED), (0.9, State.DRAIN)):
        assert Level(THRESHOLDS, lambda: 0.0).look(used) is state


def test_a_state_is_left_below_its_threshold_and_after_a_while_only() -> None:
    now = 0.0
    level = Level(THRESHOLDS, lambda: now)
    assert level.look(0.86) is State.SHED
    now = 100.0
    assert level.look(0.81) is State.SHED, "not far enough below"
    now = 101.0
    assert level.look(0.79) is State.SHED, "not for long enough"
    now = 102.0
    assert level.look(0.81) is State.SHED, "up again: the time counts from here"
    now = 102.0 + HOLD - 0.1
    assert level.look(0.79) is State.SHED
    now = 102.0 + HOLD
    assert level.look(0.79) is State.SOFT


def test_memory_that_moves_within_the_hysteresis_changes_nothing() -> None:
    now = 0.0
    level = Level(THRESHOLDS, lambda: now)
    level.look(0.76)
    seen = set()
    for number in range(200):
        now += 1.0
        seen.add(level.look(0.76 - HYSTERESIS * (number % 2) * 0.9))
    assert seen == {State.SOFT}


@given(st.lists(st.floats(0, 1.2), max_size=50))
def test_a_state_is_never_below_what_memory_asks_for(shares: list[float]) -> None:
    now = 0.0
    level = Level(THRESHOLDS, lambda: now)
    for share in shares:
        now += 1.0
        assert level.look(share) >= THRESHOLDS.state(share)


@pytest.mark.parametrize("parts", [(0.8, 0.8, 0.9), (0.9, 0.8, 0.95), (0.8, 0.9, 1.1)])
def test_thresholds_out_of_order_are_refused(parts: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match=r"defence_soft=.*larger than the one before"):
        Thresholds(*parts)
