"""What a piece of work allocates and keeps is counted and labelled, wherever it is carried on."""

from __future__ import annotations

from typing import Any

import pytest

SETUP = """
import asyncio, contextvars
work = contextvars.ContextVar("work")
sampler.follow(work)
sampler.start(256, 64, 7)
def begin(label, around=None):
    scope = sampler.Scope()
    scope.label = label
    scope.open(around)
    work.set(scope)
    return scope
def fill(count):
    return [bytes(1000) for _ in range(count)]
def by_label():
    sums = {}
    for row in sampler.export():
        if "fill" in python_frames(row):
            sums[row[3]] = sums.get(row[3], 0) + row[8]
    return sums
"""
SIZE = 1000 * (1000 + 33)


def run(sampled: Any, code: str) -> Any:
    return sampled(SETUP + code)


def test_a_scope_counts_what_is_allocated_lives_and_lived_at_once(sampled: Any) -> None:
    result = run(
        sampled,
        """
scope = begin(1)
kept = fill(1000)
fill(2000)
before = scope.counts()
thread = threading.Thread(target=kept.clear)
thread.start()
thread.join()
result = [before, scope.counts(), scope.close(), scope.counts()]
""",
    )
    (allocated, blocks, retained, peak), freed, closed, after = result
    assert allocated == pytest.approx(3 * SIZE, rel=0.1)
    assert 3000 * 0.9 < blocks < 3000 * 2.2  # the numbers that range() makes are blocks, too
    assert retained == pytest.approx(SIZE, rel=0.15)
    assert peak == pytest.approx(3 * SIZE, rel=0.15)
    assert freed[2] < 0.05 * SIZE
    assert closed[:2] == pytest.approx(freed[:2], rel=0.01)  # what the counts themselves take
    assert after == [0, 0, 0, 0]


def test_a_scope_counts_for_those_around_it_and_not_for_others(sampled: Any) -> None:
    outer, inner, other = run(
        sampled,
        """
other = begin(3)
outer = begin(1)
inner = begin(2, outer)
kept = fill(1000)
inner_counts = inner.close()
work.set(outer)
more = fill(1000)
result = [outer.close(), inner_counts, other.close()]
""",
    )
    assert inner[0] == pytest.approx(SIZE, rel=0.15)
    assert outer[0] == pytest.approx(2 * SIZE, rel=0.15)
    assert outer[2] == pytest.approx(2 * SIZE, rel=0.15)
    assert other[0] < 0.05 * SIZE


def test_tasks_that_take_turns_are_told_apart_and_so_are_the_threads_they_call(sampled: Any) -> None:
    result = run(
        sampled,
        """
kept = []
async def task(label, count):
    begin(label)
    for _ in range(20):
        kept.append(fill(count))
        await asyncio.sleep(0)
    kept.append(await asyncio.to_thread(fill, 20 * count))
async def main():
    await asyncio.gather(task(11, 50), task(12, 100), task(13, 150))
asyncio.run(main())
sums = by_label()
result = [sums[11], sums[12], sums[13]]
""",
    )
    assert result == pytest.approx([2 * SIZE, 4 * SIZE, 6 * SIZE], rel=0.15)


def test_greenlets_that_take_turns_are_told_apart(sampled: Any) -> None:
    pytest.importorskip("gevent")
    result = run(
        sampled,
        """
import gevent
kept = []
def task(label, count):
    begin(label)
    for _ in range(20):
        kept.append(fill(count))
        gevent.sleep(0)
gevent.joinall([gevent.spawn(task, 11, 50), gevent.spawn(task, 12, 100)])
sums = by_label()
result = [sums[11], sums[12]]
""",
    )
    assert result == pytest.approx([SIZE, 2 * SIZE], rel=0.15)


@pytest.mark.parametrize("others", [0, 1, 16, 17, 40, 3000])
def test_the_variable_is_found_among_others(sampled: Any, others: int) -> None:
    result = run(
        sampled,
        f"""
others = [contextvars.ContextVar(str(number)) for number in range({others})]
for other in others[::2]:
    other.set(1)
labels = [sampler.current_label()]
begin(5)
for other in others[1::2]:
    other.set(1)
labels.append(sampler.current_label())
work.set("something else")
labels.append(sampler.current_label())
result = labels
""",
    )
    assert result == [0, 5, 0]


def test_a_scope_without_a_label_has_the_threads(sampled: Any) -> None:
    assert run(sampled, "sampler.set_label(9); begin(0); result = sampler.current_label()") == 9


def test_more_scopes_than_there_is_room_for_count_nothing_and_harm_nothing(sampled: Any) -> None:
    result = run(
        sampled,
        """
many = [begin(1) for _ in range(5000)]
kept = fill(1000)
last = many[-1].counts()
many.clear()
scope = begin(2)
more = fill(1000)
result = [last, scope.counts(), sampler.stats()["dropped_scopes"]]
""",
    )
    assert result[0] == [0, 0, 0, 0]
    assert result[1][0] == pytest.approx(SIZE, rel=0.15)
    assert result[2] == 5000 - 4096


def test_a_request_is_counted_in_native_mode_too(sampled: Any, preloaded: dict[str, str]) -> None:
    result = sampled(
        SETUP + "scope = begin(1); kept = [bytearray(10_000) for _ in range(300)]; result = scope.counts()",
        env=preloaded,
    )
    assert result[0] == pytest.approx(3e6, rel=0.1)
    assert result[2] == pytest.approx(3e6, rel=0.1)


@pytest.mark.parametrize("wrong", ["follow(1)", "Scope().open(1)"])
def test_what_is_no_scope_or_variable_is_refused(sampled: Any, wrong: str) -> None:
    code = f"""
try:
    sampler.{wrong}
    result = "accepted"
except TypeError as error:
    result = str(error)
"""
    assert run(sampled, code) in ("not a ContextVar", "the scope around must be a Scope or None")
