"""The decision on series whose truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from heapwatch.leaktest.plan import growth_limit
from heapwatch.leaktest.verdict import Judgement, Run, Series, judge
from hypothesis import given
from hypothesis import strategies as st

LOOKS = 26
SEGMENT = 80
INTERVAL = 120.0
SIZE = 60.0


def run(last: bool = False) -> Run:
    return Run(before=400, segment=SEGMENT, interval=INTERVAL, floor=8.0, last=last)


def seen(
    born: Callable[[int], float], dies: Callable[[int, int], float], seed: int, looks: int = LOOKS
) -> Series:
    """The series of a site where `born(segment)` objects are born, of which `dies(age, now)` are gone."""
    rng = random.Random(seed)
    chance = -math.expm1(-SIZE / INTERVAL)
    sampled = [sum(rng.random() < chance for _ in range(round(born(s)))) for s in range(looks - 1)]
    objects = [
        sum(round(n * (1 - dies(now - s, now))) / chance for s, n in enumerate(sampled[:now]))
        for now in range(looks)
    ]
    alive = {s: round(n * (1 - dies(looks - 1 - s, looks - 1))) / chance for s, n in enumerate(sampled)}
    return Series([SIZE * n for n in objects], objects, alive)


def never(age: int, now: int) -> float:
    return 0.0


@pytest.mark.parametrize("seed", range(20))
def test_one_small_object_a_step_is_a_leak_of_the_right_rate(seed: int) -> None:
    judgement = judge(seen(lambda s: SEGMENT, never, seed), run())
    assert judgement.answer == "leak"
    assert abs(judgement.bytes_per_step - SIZE) < 4 * judgement.error
    assert 0.7 < judgement.objects_per_step < 1.3


SHAPES: dict[str, tuple[Callable[[int], float], Callable[[int, int], float]]] = {
    "a cache that fills": (lambda s: SEGMENT if s < 9 else 0, never),
    "a cache that evicts the oldest": (lambda s: SEGMENT, lambda age, now: float(age > 8)),
    "growth that slows down": (lambda s: SEGMENT * math.exp(-s / 6), never),
    "replacement at random": (lambda s: SEGMENT, lambda age, now: -math.expm1(-age / 4)),
    "a ramp that is over": (lambda s: 3 * SEGMENT if 11 <= s < 15 else 0, never),
    "nothing": (lambda s: 0, never),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_that_end_are_no_leaks(shape: str) -> None:
    answers = {judge(seen(*SHAPES[shape], seed), run(last=True)).answer for seed in range(20)}
    assert "leak" not in answers


def test_growth_by_the_logarithm_is_never_a_leak() -> None:
    born = [4000 * math.log((s + 6) / (s + 5)) for s in range(75)]
    answers = [judge(seen(born.__getitem__, never, seed, 76), run(last=True)).answer for seed in range(20)]
    assert "leak" not in answers


def test_growth_that_has_just_begun_is_not_decided_yet() -> None:
    series = seen(lambda s: SEGMENT if s >= 18 else 0, never, 1)
    assert judge(series, run()).answer == "unsure"


def test_a_buffer_that_doubles_is_a_leak_once_the_run_is_at_its_end() -> None:
    used = [100.0 * (400 + SEGMENT * look) for look in range(76)]
    series = Series([2.0 ** math.ceil(math.log2(n)) for n in used], [1.0] * 76)
    assert judge(series, run(last=False)).answer == "unsure"
    assert judge(series, run(last=True)).answer == "leak"


def test_a_buffer_that_stopped_doubling_is_none() -> None:
    used = [100.0 * (400 + SEGMENT * min(look, 25)) for look in range(76)]
    series = Series([2.0 ** math.ceil(math.log2(n)) for n in used], [1.0] * 76)
    assert judge(series, run(last=True)).answer == "no leak"


def enlarged(used: Callable[[int], int]) -> Series:
    """A list's storage, which is enlarged by an eighth when it is full."""
    level, levels = 8000.0, []
    for look in range(76):
        while level < 100.0 * used(look):
            level *= 1.125
        levels.append(level)
    return Series(levels, [1.0] * 76)


def test_a_list_of_small_numbers_is_a_leak_by_its_storage() -> None:
    assert judge(enlarged(lambda look: 400 + SEGMENT * look), run(last=True)).answer == "leak"
    assert judge(enlarged(lambda look: 400 + SEGMENT * min(look, 30)), run(last=True)).answer == "no leak"


@given(
    st.lists(st.tuples(st.floats(0, 1e12), st.floats(0, 1e9)), min_size=2, max_size=80),
    st.dictionaries(st.integers(0, 80), st.floats(0, 1e9)) | st.none(),
    st.booleans(),
)
def test_any_series_gets_an_answer(
    looks: list[tuple[float, float]], born: dict[int, float] | None, last: bool
) -> None:
    judgement = judge(Series([b for b, _ in looks], [n for _, n in looks], born), run(last))
    assert isinstance(judgement, Judgement)
    assert judgement.answer in ("leak", "no leak", "unsure")


@given(st.integers(0, 10_000))
def test_a_level_that_only_wavers_is_no_leak(seed: int) -> None:
    rng = random.Random(seed)
    values = [1e6 + rng.uniform(0, 2e5) for _ in range(LOOKS)]
    assert judge(Series(values, [v / SIZE for v in values]), run(last=True)).answer != "leak"


def test_limits_of_growth_are_sizes() -> None:
    assert [growth_limit(text) for text in ("0", "100B", "1KiB", "1.5 kB", "2000")] == [
        8,
        100,
        1024,
        1500,
        2000,
    ]
    with pytest.raises(ValueError, match="'-1' is no size"):
        growth_limit("-1")
