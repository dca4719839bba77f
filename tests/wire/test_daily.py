"""The daily profile: what comes back each day is no growth, what goes on is."""

from __future__ import annotations

import math
import random

import pytest
from heapwatch_wire.daily import DAY, without_day
from heapwatch_wire.growth import Series, judge
from hypothesis import given
from hypothesis import strategies as st

MIB = float(1 << 20)
STEP = 600.0
Points = list[tuple[float, float, float]]


def days(count: float, swing: float, growth: float = 0.0, noise: float = 1.0, seed: int = 1) -> Points:
    """Bytes each ten minutes: a daily wave of `swing` MiB, `growth` MiB a day, `noise` MiB of jitter."""
    rng, points = random.Random(seed), []
    for i in range(int(count * DAY / STEP)):
        day = i * STEP / DAY
        size = MIB * (500 + swing * math.sin(2 * math.pi * day) + growth * day + noise * rng.gauss(0, 1))
        points.append((1.7e9 + i * STEP, size, size / 200))
    return points


def test_the_wave_of_the_day_is_taken_out_and_growth_is_left() -> None:
    flat = without_day(days(5, swing=100, growth=20, noise=0))
    rise = (flat[-1][1] - flat[0][1]) / MIB
    assert rise == pytest.approx(100, rel=0.1)
    steps = [b[1] - a[1] for a, b in zip(flat, flat[6:], strict=False)]
    assert max(map(abs, steps)) < 5 * MIB  # The wave makes 26 in the steepest hour.


def test_before_two_days_nothing_is_known_to_come_back() -> None:
    points = days(1.9, swing=100)
    assert without_day(points) is points


def test_the_rise_of_each_morning_is_no_leak() -> None:
    """Looked at each two hours of the fourth day."""
    points, called, blind = days(4, swing=100), 0, 0
    for end in range(len(points) - 144, len(points), 12):
        called += judge([Series(points[:end], 65536.0)]).decision == "leak"
        blind += judge([Series(points[max(0, end - 60) : end], 65536.0, 1.6e9)]).decision == "leak"
    assert called == 0
    assert blind > 0, "the wave would not have fooled the test, so this proves nothing"


def test_a_slow_leak_beneath_the_wave_is_found() -> None:
    finding = judge([Series(days(5, swing=100, growth=20), 65536.0)])
    assert finding.decision == "leak"
    assert finding.growth is not None
    assert finding.growth.bytes_per_second == pytest.approx(20 * MIB / DAY, rel=0.2)


@given(shift=st.integers(-(10**8), 10**8), scale=st.floats(1e-3, 1e3))
def test_neither_the_time_zone_nor_the_unit_matters(shift: int, scale: float) -> None:
    points = days(3, swing=50)
    moved = [(t + 3600.0 * (shift // 3600), b * scale, n) for t, b, n in points]
    for (_, before, _), (_, after, _) in zip(
        without_day(points)[::20], without_day(moved)[::20], strict=True
    ):
        assert after == pytest.approx(before * scale, rel=1e-3)


@given(values=st.lists(st.floats(0, 1e12), min_size=2, max_size=60), gap=st.floats(600, 30_000))
def test_gaps_and_jumps_break_nothing(values: list[float], gap: float) -> None:
    points = [(1.7e9 + i * gap, v, 1.0) for i, v in enumerate(values)]
    left = without_day(points)
    assert len(left) == len(points)
    assert all(math.isfinite(b) for _, b, _ in left)
