"""Objects by type within a budget."""

from __future__ import annotations

import pytest
from heapwatch.leaks.census import Census, take
from heapwatch.sampler import walk


class Thing:
    """Something to count."""


@pytest.fixture(scope="module")
def things() -> list[Thing]:
    return [Thing() for _ in range(30_000)]


def pauses() -> tuple[list[float], Census]:
    waited: list[float] = []
    return waited, take(walk(), 600.0, waited.append, 1e9)


def test_everything_is_counted_when_there_is_time(things: list[Thing]) -> None:
    waited, census = pauses()
    counted = census.types[f"{__name__}.Thing"]
    assert counted.objects == len(things)
    assert 48 * len(things) <= counted.bytes <= 80 * len(things)
    assert counted.objects_margin == 0.0
    assert census.complete
    assert census.tracked > len(things)
    assert census.stride == 1
    assert waited


def test_with_little_time_some_stand_for_the_others_and_the_margin_says_so(things: list[Thing]) -> None:
    _, whole = pauses()
    census = take(walk(), whole.cpu / 8, lambda seconds: None, 1e9)
    assert census.stride > 1
    if census.complete:  # Else the time did not even do for following the lists.
        counted = census.types[f"{__name__}.Thing"]
        within = 3 * counted.objects_margin  # which is of 95%
        assert counted.objects == pytest.approx(len(things), abs=within)


def test_no_type_takes_more_than_there_is() -> None:
    """A generator has items and no count of them."""

    def numbers() -> object:
        yield 1

    kept = [numbers() for _ in range(100)]
    _, census = pauses()
    assert census.types["generator"].objects >= len(kept)
    assert max(counted.bytes for counted in census.types.values()) < 1 << 32
