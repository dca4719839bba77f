"""The census for the collector: the largest types, seen to grow and to shrink, within its cost."""

from __future__ import annotations

from typing import Any

import pytest
from heapwatch.leaks.types import BUDGET, KEPT, LARGEST, MOST, Types
from heapwatch.sampler import walk

Row = tuple[type, float, float, float, float]


class FakeWalk:
    """A heap that is walked over in `steps` steps; `types` are (type, objects, bytes)."""

    def __init__(self, types: list[tuple[type, float, float]], steps: int = 1) -> None:
        self._types = types
        self._left = steps
        self.seen = 0

    @property
    def done(self) -> bool:
        return self._left <= 0

    def census(self, stride: int, seconds: float) -> list[Row]:
        self._left -= 1
        return [(kind, objects, size, 0.0, 0.0) for kind, objects, size in self._types] if self.done else []


def named(count: int) -> list[type]:
    return [type(f"Type{i}", (), {}) for i in range(count)]


def sizes(types: Types) -> dict[str, float]:
    return {name.rpartition(".")[2]: counted.bytes for name, counted in types.counts().items()}


def test_the_largest_are_told_of_and_those_that_once_were() -> None:
    kinds = named(30)
    heaps = [
        [(kind, 1.0, 1000.0 + i) for i, kind in enumerate(kinds)],
        [(kind, 1.0, 1000.0 - i) for i, kind in enumerate(kinds[:25])],
    ]
    found: list[Any] = [FakeWalk(heap) for heap in heaps]
    types = Types(60.0, lambda: found.pop(0))
    types.observe(0.0)
    assert list(sizes(types)) == [f"Type{i}" for i in range(29, 29 - LARGEST, -1)]
    types.observe(59.0)
    assert len(found) == 1, "not due yet"
    types.observe(7200.0)
    assert list(sizes(types))[:LARGEST] == [f"Type{i}" for i in range(LARGEST)]
    assert sizes(types)["Type24"] == 976.0
    assert sizes(types)["Type29"] == 0.0, "gone, and said to be"


def test_the_types_told_of_are_bounded() -> None:
    types = Types(1.0, lambda: heap)
    for round in range(5):
        heap: Any = FakeWalk(
            [(kind, 1.0, 9.0 * LARGEST) for kind in named(100)[20 * round : 20 * round + 20]]
        )
        types.observe(10_000.0 * round)
    assert len(types.counts()) == KEPT


def test_a_heap_too_large_for_the_budget_gets_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr("heapwatch.leaks.census.time.thread_time", lambda: next(clock) * 0.01)
    monkeypatch.setattr("heapwatch.leaks.types.sleep", lambda seconds: None)
    heap = [(dict, 5.0, 500.0)]
    types = Types(1.0, lambda: found)
    for round, budget in enumerate((BUDGET, 2 * BUDGET, 4 * BUDGET)):
        found: Any = FakeWalk(heap, steps=30)
        types.observe(10_000.0 * round)
        assert types.counts() == {}, budget
    found = FakeWalk(heap, steps=30)
    types.observe(90_000.0)
    assert sizes(types) == {"dict": 500.0}
    assert 8 * BUDGET == MOST


def test_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heapwatch.leaks.types.BUDGET", 60.0)
    types = Types(1.0, walk)
    types.observe(0.0)
    assert types.counts()["dict"].objects > 100
