"""Survival of a site's objects: what stays, what is turned over, and when neither can be told."""

from __future__ import annotations

import math
import random

import pytest
from heapwatch.leaks.survival import Survival, stay, survival
from heapwatch.sampler import AGE_UNIT, Lifetimes
from hypothesis import given
from hypothesis import strategies as st

BLOCK = 65536.0


def bucket(age: float) -> int:
    return 0 if age < AGE_UNIT else int(math.log2(age / AGE_UNIT)) + 1


def watched(seconds: float, per_second: float, life: float, leaks: float = 0.0, seed: int = 1) -> Lifetimes:
    """Blocks born at a steady rate that live `life` seconds on average, or for ever with chance `leaks`."""
    rng = random.Random(seed)
    ended, live = [0.0] * 24, [0.0] * 24
    for _ in range(int(seconds * per_second)):
        born = rng.uniform(0, seconds)
        age = math.inf if rng.random() < leaks else rng.expovariate(1 / life)
        column = ended if born + age < seconds else live
        column[bucket(min(age, seconds - born))] += BLOCK
    counts = tuple(e / 200 for e in ended), tuple(v / 200 for v in live)
    return Lifetimes(counts[0], tuple(ended), counts[1], tuple(live))


def test_what_leaks_stays() -> None:
    found = stay(survival([watched(300, 2, life=1.0, leaks=1.0)]), 150, BLOCK)
    assert found is not None
    assert (found.old, found.share) == (1.0, 1.0)
    assert not found.turned_over
    assert "they stay" in str(found)


def test_a_leak_among_short_lived_objects_stays() -> None:
    found = stay(survival([watched(300, 40, life=0.2, leaks=0.05)]), 150, BLOCK)
    assert found is not None
    assert found.old == pytest.approx(0.05, abs=0.02)
    assert found.share == 1.0


def test_a_big_cache_that_is_turned_over_does_not() -> None:
    found = stay(survival([watched(600, 5, life=60.0)]), 300, BLOCK)
    assert found is not None
    assert found.turned_over
    assert "turned over" in str(found)


def test_the_chance_is_that_of_the_law_that_made_them() -> None:
    """Exponential lifetimes: the chance to live on doesn't depend on age; the live ones are censored."""
    found = survival([watched(400, 20, life=100.0, seed=s) for s in (1, 2)]).chance(32.0, 128.0, BLOCK)
    assert found is not None
    assert found[1] == 128.0
    assert found[0] == pytest.approx(math.exp(-96 / 100), abs=0.06)


def test_young_or_few_objects_tell_nothing() -> None:
    assert stay(survival([watched(30, 5, life=1.0, leaks=1.0)]), 150, BLOCK) is None
    assert stay(survival([watched(300, 0.01, life=1.0, leaks=1.0)]), 150, BLOCK) is None
    assert stay(survival([]), 150, BLOCK) is None


ages = st.lists(st.integers(0, 10**9).map(float), max_size=24).map(tuple)


@given(ended=ages, live=ages, begin=st.floats(0, 1e4), length=st.floats(0, 1e4))
def test_a_chance_is_a_chance(
    ended: tuple[float, ...], live: tuple[float, ...], begin: float, length: float
) -> None:
    found = Survival(ended, live).chance(begin, begin + length, 1.0)
    assert found is None or (-1e-9 <= found[0] <= 1 + 1e-9 and begin <= found[1] <= begin + length)


@given(ended=ages, live=ages, scale=st.floats(0.1, 100))
def test_the_unit_of_size_changes_nothing(
    ended: tuple[float, ...], live: tuple[float, ...], scale: float
) -> None:
    def scaled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(v * scale for v in values)

    one = Survival(ended, live).chance(1.0, 1e6, 0.0)
    other = Survival(scaled(ended), scaled(live)).chance(1.0, 1e6, 0.0)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert other[0] == pytest.approx(one[0], rel=1e-6, abs=1e-6)
