"""Forecasts: the interval holds, floors hide sawteeth, and old quiet doesn't dilute new growth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from heapwatch_analyzer.forecasts import FARTHEST, forecasts, leak_forecast, to_limit, trend
from heapwatch_analyzer.observations import Series
from heapwatch_wire.evidence import Growth
from hypothesis import given
from hypothesis import strategies as st

MIB = float(1 << 20)
TIMES = np.arange(0.0, 1800.0, 5.0)


def test_a_noisy_line_is_forecast() -> None:
    rng = np.random.default_rng(1)
    values = 100 * MIB + 0.05 * MIB * TIMES + MIB * rng.standard_normal(len(TIMES))
    found = trend(TIMES, values)
    assert found is not None
    low, high = found.interval()
    assert low < 0.05 * MIB < high
    forecast = to_limit(found, 400 * MIB)
    assert forecast is not None
    assert forecast.low <= forecast.seconds <= (forecast.high or np.inf)
    assert forecast.seconds == pytest.approx((300 / 0.05) - 1800, rel=0.1)


def test_intervals_hold_at_their_rate() -> None:
    """Growth by random amounts, whose future is as random: 60 series, the interval is at 80%."""
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        times = np.arange(0.0, 9000.0, 5.0)
        values = 100 * MIB + np.cumsum(rng.exponential(0.1 * MIB, len(times)))
        limit = float(values[360]) + 60 * MIB
        found = trend(times[:360], values[:360])
        assert found is not None
        forecast = to_limit(found, limit)
        assert forecast is not None
        actual = times[np.argmax(values >= limit)] - times[359]
        held += forecast.low <= actual <= (np.inf if forecast.high is None else forecast.high)
    # 48 expected; fewer than 40 has probability 0.6% at 80%.
    assert 40 <= held <= 60


def test_a_sawtooth_without_growth_has_no_forecast() -> None:
    values = 100 * MIB + 20 * MIB * ((TIMES / 97) % 1)
    found = trend(TIMES, values)
    assert found is not None
    low, high = found.interval()
    assert low < 0 < high
    assert to_limit(found, 1000 * MIB) is None


def test_peaks_not_floors_meet_the_limit() -> None:
    grown = 100 * MIB + 0.02 * MIB * TIMES
    smooth, toothed = trend(TIMES, grown), trend(TIMES, grown + 30 * MIB * ((TIMES / 20) % 1))
    assert smooth is not None
    assert toothed is not None
    soon, later = to_limit(toothed, 300 * MIB), to_limit(smooth, 300 * MIB)
    assert soon is not None
    assert later is not None
    assert soon.seconds < later.seconds - 600


def test_growth_that_began_late_counts_from_its_beginning() -> None:
    rng = np.random.default_rng(2)
    values = 100 * MIB + 0.1 * MIB * np.maximum(0, TIMES - 1200) + 0.2 * MIB * rng.standard_normal(len(TIMES))
    found = trend(TIMES, values)
    assert found is not None
    assert found.slope == pytest.approx(0.1 * MIB, rel=0.15)


def test_a_met_limit_is_now() -> None:
    found = trend(TIMES, 100 * MIB + 0.01 * MIB * TIMES)
    assert found is not None
    forecast = to_limit(found, 50 * MIB)
    assert forecast is not None
    assert (forecast.seconds, forecast.low, forecast.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [0, 1, 5, 35])
def test_few_points_have_no_trend(count: int) -> None:
    assert trend(TIMES[:count], TIMES[:count]) is None


@given(
    seed=st.integers(0, 1000),
    growth=st.floats(-1e6, 1e6),
    noise=st.floats(0, 1e7),
    limit=st.floats(1e6, 1e12),
    count=st.integers(36, 400),
)
def test_any_series_gives_an_ordered_finite_forecast_or_none(
    seed: int, growth: float, noise: float, limit: float, count: int
) -> None:
    rng = np.random.default_rng(seed)
    times = np.arange(count) * 5.0
    found = trend(times, np.maximum(0, 1e8 + growth * times + noise * rng.standard_normal(count)))
    assert found is not None
    low, high = found.interval()
    assert low <= found.slope <= high
    forecast = to_limit(found, limit)
    if forecast is not None:
        assert 0 <= forecast.low <= forecast.seconds <= FARTHEST
        assert forecast.high is None or forecast.high >= forecast.seconds


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(0, 1e9))
def test_trend_scales_with_the_unit_and_ignores_the_clock(scale: float, shift: float) -> None:
    rng = np.random.default_rng(3)
    values = 1e8 + 1e4 * TIMES + 1e6 * rng.standard_normal(len(TIMES))
    one, other = trend(TIMES, values), trend(TIMES + shift, scale * values)
    assert one is not None
    assert other is not None
    assert other.slope == pytest.approx(scale * one.slope, rel=1e-4)
    assert other.error == pytest.approx(scale * one.error, rel=1e-3)


def test_instances_without_limit_have_growth_only(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(5 * MIB, 2000), 2000)
    seen = simulation.Fleet([leak], 600, 1, limit=None).observe()
    (found,) = forecasts(seen)
    assert found.low < 5 * MIB / 60 < found.high
    assert found.forecast is None
    (given_limit,) = forecasts(seen, memory_limit=512 * MIB)
    assert given_limit.forecast is not None
    assert given_limit.forecast.limit == 512 * MIB


def test_container_limit_is_met_by_the_working_set(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(5 * MIB, 2000), 2000)
    seen = simulation.Fleet([leak], 600, 1, limit=512 * MIB).observe()
    (rss,) = seen.series
    container = Series("container.memory.working_set", rss.instance, rss.times, rss.values + 300 * MIB)
    (alone,), (shared,) = forecasts(seen), forecasts(replace(seen, series=(rss, container)))
    assert alone.forecast is not None
    assert shared.forecast is not None
    assert shared.forecast.current == pytest.approx(alone.forecast.current + 300 * MIB, rel=0.01)
    assert shared.forecast.seconds < alone.forecast.seconds / 2


def test_leak_meets_the_limit_by_its_own_growth(simulation: Any) -> None:
    seen = simulation.Fleet(simulation.healthy(1, 2), 60, 2, limit=512 * MIB).observe()
    growth = Growth(2 * MIB, 1 * MIB, 3 * MIB, 100.0)
    forecast = leak_forecast(seen, growth, 1.0, 2)
    assert forecast is not None
    room = 512 * MIB - forecast.current
    assert forecast.seconds == pytest.approx(room / MIB)
    assert forecast.low == pytest.approx(room / (1.5 * MIB))
    assert forecast.high == pytest.approx(room / (0.5 * MIB))
    open_end = leak_forecast(seen, replace(growth, low=-1.0), 1.0, 2)
    assert open_end is not None
    assert open_end.high is None
    assert leak_forecast(simulation.Fleet([], 60, limit=None).observe(), growth, 1.0, 2) is None
    shrinking = Growth(-2 * MIB, -3 * MIB, -1 * MIB, -100.0)
    assert leak_forecast(seen, shrinking, -1.0, 2) is None


def test_workers_fill_the_limit_of_their_container_together(simulation: Any) -> None:
    seen = simulation.Fleet([], 60, 6, limit=512 * MIB).observe()
    instances = tuple(
        replace(one, host=f"host-{number // 3}", parent=number % 3 == 0)
        for number, one in enumerate(seen.instances)
    )
    containers = tuple(
        Series("container.memory.working_set", rss.instance, rss.times, 0 * rss.values + 400 * MIB)
        for rss in seen.series
    )
    forecast = leak_forecast(
        replace(seen, instances=instances, series=containers), Growth(4 * MIB, 4 * MIB, 4 * MIB, 0.0), 1.0, 4
    )
    assert forecast is not None
    assert forecast.seconds == pytest.approx(112 / 2), "half of the growth is in each of two containers"
