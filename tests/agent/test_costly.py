"""A dear reading takes a bounded share of time."""

from __future__ import annotations

import pytest
from heapwatch.costly import SHARE, Costly


class Clock:
    """Seconds that pass when a reading costs them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("cost", [0.0, 0.001, 0.02, 0.5])
def test_its_share_of_the_time_is_bounded(cost: float) -> None:
    clock, readings = Clock(), []

    def read() -> int:
        clock.now += cost
        readings.append(clock.now)
        return len(readings)

    costly = Costly(read, clock, clock)
    for _ in range(1000):
        assert costly() == len(readings)
        clock.now += 10.0
    assert len(readings) * cost <= clock.now * SHARE + cost
    if cost <= 0.01:
        assert len(readings) == 1000


def test_a_failure_passes_and_the_next_call_reads_again() -> None:
    answers = [OSError("gone"), None]

    def read() -> str:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "back"

    costly = Costly(read)
    with pytest.raises(OSError, match="gone"):
        costly()
    assert costly() == "back"
