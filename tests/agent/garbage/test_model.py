"""Plans stay within their bounds and follow the square-root rule between them."""

from __future__ import annotations

import pytest
from heapwatch.gctuner.model import LARGEST_OLD, LARGEST_YOUNG, Limits, Rates, budget, make_plan

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

NATURAL = (700, 10, 10)
LIMITS = Limits(uncollected=16 << 20, delay=60.0)


def rates(**changes: float) -> Rates:
    usual = {
        "allocated": 1e5,
        "young_cost": 50e-9,
        "survival": 0.8,
        "old_garbage": 1000.0,
        "full_pause": 0.1,
        "object_bytes": 128.0,
        "rss": 300 << 20,
    }
    return Rates(**{**usual, **changes})  # type: ignore[arg-type]


@given(
    st.builds(
        Rates,
        allocated=st.floats(0, 1e9),
        young_cost=st.floats(0, 1),
        survival=st.floats(0, 1),
        old_garbage=st.floats(0, 1e9),
        full_pause=st.floats(0, 10),
        object_bytes=st.floats(64, 1e9),
        rss=st.integers(0, 1 << 45),
    )
)
def test_thresholds_are_finite_and_never_below_the_natural_ones(measured: Rates) -> None:
    plan = make_plan(measured, NATURAL, LIMITS)
    assert NATURAL[0] <= plan.thresholds[0] <= LARGEST_YOUNG
    assert plan.thresholds[1] == NATURAL[1]
    assert NATURAL[2] <= plan.thresholds[2] <= LARGEST_OLD
    assert 0 < plan.full_interval <= max(LIMITS.delay, measured.full_pause * 50)


def test_a_young_generation_that_mostly_survives_may_be_larger() -> None:
    def young(survival: float) -> int:
        return make_plan(rates(survival=survival, young_cost=1e-9), NATURAL, LIMITS).thresholds[0]

    assert young(0.9) > young(0.5) > young(0.0)


def test_slow_collections_make_the_young_generation_small() -> None:
    assert make_plan(rates(young_cost=500e-9), NATURAL, LIMITS).thresholds[0] == 10_000


def test_four_times_the_garbage_halves_the_interval() -> None:
    few = make_plan(rates(old_garbage=2000.0, full_pause=0.01), NATURAL, LIMITS).full_interval
    many = make_plan(rates(old_garbage=8000.0, full_pause=0.01), NATURAL, LIMITS).full_interval
    assert few / many == pytest.approx(2.0, rel=0.01)


def test_waiting_garbage_is_a_small_part_of_a_small_process() -> None:
    assert budget(50 << 20, LIMITS) == pytest.approx((50 << 20) * 0.02)
    assert budget(10 << 30, LIMITS) == 16 << 20
