"""Walks over all objects: what they meet, and what the holder search and the census ask on the way."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from heapwatch.sampler import Walk, walk


class Thing:
    """Something tracked that can be referred to."""


def referrers(targets: list[Any], seconds: float = 1.0) -> list[tuple[Any, int, int]]:
    """All who refer to `targets`, each once."""
    heap = walk()
    found: dict[tuple[int, int], tuple[Any, int, int]] = {}
    while not heap.done:
        found |= {
            (id(holder), target): (holder, target, n)
            for holder, target, n in heap.referrers(targets, seconds)
        }
    return list(found.values())


def among(members: Iterable[Any], targets: list[Any]) -> set[tuple[int, int, int]]:
    """(id of the holder, target, references) for holders in `members`."""
    ids = set(map(id, members))
    return {(id(holder), target, n) for holder, target, n in referrers(targets) if id(holder) in ids}


def test_each_reference_is_counted_and_nothing_else() -> None:
    one, two, other = Thing(), Thing(), Thing()
    twice, both, none = [one, one], [two, one, [other]], [other]
    expected = {(id(twice), 0, 2), (id(both), 1, 1), (id(both), 0, 1)}
    assert among([twice, both, none], [one, two]) == expected


def test_atoms_are_found_in_containers_that_are_not_tracked() -> None:
    atom = "".join(["an ", "atom"])
    inner = (atom, 1)
    gc.collect()
    assert not gc.is_tracked(inner)
    outer = [inner]
    assert among([inner], [atom]) == {(id(inner), 0, 1)}
    assert among([outer], [inner]) == {(id(outer), 0, 1)}


def test_what_a_tuple_holds_is_found_from_whoever_holds_the_tuple() -> None:
    thing = Thing()
    pair = (thing, [])
    holders = [[pair], {"also": pair}]
    assert among([pair, holders], [thing]) == {(id(pair), 0, 1)}


def test_the_list_of_targets_is_no_holder() -> None:
    thing = Thing()
    targets = [thing]
    assert not [holder for holder, _, _ in referrers(targets) if holder is targets]


def test_it_agrees_with_gc_get_referrers_on_a_random_graph() -> None:
    dice = random.Random(5)
    nodes: list[list[Any]] = [[] for _ in range(400)]
    for node in nodes:
        node.extend(dice.choices(nodes, k=dice.randrange(6)))
    targets = dice.sample(nodes, 20)
    members = set(map(id, nodes))
    expected = {
        (id(holder), i)
        for i, target in enumerate(targets)
        for holder in gc.get_referrers(target)
        if id(holder) in members
    }
    assert {(holder, i) for holder, i, _ in among(nodes, targets)} == expected


def test_very_many_finds_end_a_step_early_and_none_is_lost() -> None:
    thing = Thing()
    holders: list[Any] = [[thing] for _ in range(100_000)]
    steps, total, heap = 0, 0, walk()
    while not heap.done:
        total += sum(type(holder) is list for holder, _, _ in heap.referrers([thing], 10.0))
        steps += 1
    assert steps > 1
    assert total == len(holders)


def test_no_reference_is_kept() -> None:
    thing = Thing()
    holder = [thing]
    before = sys.getrefcount(thing), sys.getrefcount(holder)
    for _ in range(5):
        referrers([thing])
    assert (sys.getrefcount(thing), sys.getrefcount(holder)) == before


IN_A_SMALL_HEAP = """
import gc, sys
from heapwatch.sampler import walk
class Thing: pass
def whole(thing, between):
    heap, found, steps = walk(), False, 0
    while not heap.done:
        found = any(type(h) is list for h, _, _ in heap.referrers([thing], 0.0)) or found
        steps += 1
        if steps % 16 == 5:
            gc.collect(between)
    return found and steps > 40
ballast = [[number] for number in range(100_000)]
thing = Thing()
young = [thing]
assert whole(thing, int(sys.argv[1])), "young"
gc.collect()
assert whole(thing, int(sys.argv[1])), "old"
"""


def whole(heap: Walk, thing: object, between: Any = lambda: None) -> bool:
    """Whether a walk in the shortest steps meets what refers to `thing`."""
    found = False
    while not heap.done:
        found = any(type(h) is list for h, _, _ in heap.referrers([thing], 0.0)) or found
        between()
    return found


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_what_lives_all_the_while_is_met_whatever_is_collected_between_the_steps(generation: int) -> None:
    """Collections move objects from list to list, and the place where the walk stands with them."""
    # In a process of its own: a full collection of a whole run of tests takes half a second.
    subprocess.run([sys.executable, "-c", IN_A_SMALL_HEAP, str(generation)], check=True, timeout=300)


@pytest.mark.parametrize("at", [1, 5, 40])
def test_what_lives_all_the_while_is_met_when_the_heap_is_frozen_and_unfrozen(at: int) -> None:
    thing = Thing()
    ballast = [[number] for number in range(200_000)]  # more steps than 3 * at
    gc.collect()
    holder = [thing]
    steps = iter(range(1_000_000))

    def turn() -> None:
        {at: gc.freeze, 2 * at: gc.unfreeze, 3 * at: gc.freeze}.get(next(steps), int)()

    try:
        assert whole(walk(), thing, turn)
        assert whole(walk(), thing)
    finally:
        gc.unfreeze()
    assert holder
    assert ballast


def test_a_walk_that_is_given_up_leaves_no_trace() -> None:
    gc.collect()  # what is left of other tests must not go in the middle of this one
    before = len([o for o in gc.get_objects() if type(o).__name__ == "Walk"])
    heaps = [walk() for _ in range(10)]
    for heap in heaps:
        heap.referrers([before], 0.0)
    del heap, heaps
    assert len([o for o in gc.get_objects() if type(o).__name__ == "Walk"]) == before
    gc.collect()


def test_the_heap_can_be_walked_while_other_threads_change_it() -> None:
    halt = threading.Event()

    def churn() -> None:
        kept: list[Any] = []
        while not halt.is_set():
            kept = [[Thing()] for _ in range(200)] + kept[:100]

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    thing = Thing()
    holder = [thing]
    try:
        for _ in range(5):
            assert any(found is holder for found, _, _ in referrers([thing], 0.001))
    finally:
        halt.set()
        for thread in threads:
            thread.join()


def test_tuples_being_built_meanwhile_come_out_whole() -> None:
    def building() -> Any:
        for number in range(10):
            heap = walk()
            while not heap.done:
                heap.census(1, 0.001)
                heap.referrers([number], 0.001)
            yield [number]

    assert len(tuple(building())) == 10


def test_a_census_counts_exactly_when_it_looks_at_everything() -> None:
    things = [Thing() for _ in range(5_000)]
    texts = [f"a text of its own {number}" for number in range(5_000)]
    found: dict[type, list[float]] = {}
    heap = walk()
    while not heap.done:
        for kind, count, size, *_ in heap.census(1, 1.0):
            found.setdefault(kind, [0.0, 0.0])
            found[kind][0] += count
            found[kind][1] += size
    assert found[Thing][0] == len(things)
    assert found[str][0] >= len(texts)
    assert found[str][1] >= sum(map(sys.getsizeof, texts))


def test_the_census_agrees_with_getsizeof() -> None:
    """In a process of its own, where nothing else is of these types."""
    code = """
import sys
from heapwatch.sampler import walk
class List(list): __slots__ = ()
class Dict(dict): __slots__ = ()
class Set(set): __slots__ = ()
class Frozen(frozenset): __slots__ = ()
class Instance:
    __slots__ = ("a", "b")
    def __init__(self, n): self.a = self.b = n
numbers = range(0, 3000, 7)
kept = [kind(range(n)) for kind in (List, Set, Frozen) for n in numbers]
kept += [Instance(n) for n in numbers] + [Dict.fromkeys(range(n)) for n in numbers]
true, counted, heap = {}, {}, walk()
for obj in kept:
    true[type(obj)] = true.get(type(obj), 0) + sys.getsizeof(obj)
while not heap.done:
    for kind, count, size, *_ in heap.census(1, 1.0):
        counted[kind] = counted.get(kind, 0) + size
for kind, size in true.items():
    assert abs(counted[kind] - size) < 0.05 * size, (kind, counted[kind], size)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_sampled_censuses_are_right_on_average() -> None:
    things = [Thing() for _ in range(20_000)]
    estimates = []
    for _ in range(20):
        heap, count, variance = walk(), 0.0, 0.0
        while not heap.done:
            for kind, objects, _, spread, _ in heap.census(20, 1.0):
                if kind is Thing:
                    count, variance = count + objects, variance + spread
        estimates.append((count, variance))
    within = sum(abs(count - len(things)) < 3 * variance**0.5 for count, variance in estimates)
    assert within >= 17
    mean = sum(count for count, _ in estimates) / len(estimates)
    assert abs(mean - len(things)) < 0.05 * len(things)


def test_a_full_collection_amid_a_walk_hides_nothing() -> None:
    # It puts the youngest generation before the next one, in which the walk is.
    thing = Thing()
    gc.collect()
    gc.disable()
    try:
        middle: list[Any] = [[] for _ in range(20_000)]
        gc.collect(0)
        youngest: list[Any] = [[thing] for _ in range(300)]
        oldest, heap, found = len(gc.get_objects(generation=2)), walk(), set()
        while not heap.done and heap.seen < oldest + len(middle) // 2:
            found |= {id(holder) for holder, _, _ in heap.referrers([thing], 0.0)}
        gc.collect()
        while not heap.done:
            found |= {id(holder) for holder, _, _ in heap.referrers([thing], 0.0)}
    finally:
        gc.enable()
    assert set(map(id, youngest)) <= found
