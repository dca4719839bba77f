"""Who refers to whom: what the holder search asks of the extension."""

from __future__ import annotations

import gc
import random
import sys
import threading
from typing import Any

from heapwatch.sampler import containers, referrers


class Thing:
    """Something tracked that can be referred to."""


def found(heap: list[Any], targets: list[Any]) -> list[tuple[int, int, int]]:
    pairs, stopped = referrers(heap, 0, len(heap), targets)
    assert stopped == len(heap)
    return [(id(holder), target, references) for holder, target, references in pairs]


def test_each_reference_is_counted_and_nothing_else() -> None:
    one, two, other = Thing(), Thing(), Thing()
    twice, both, none = [one, one], [two, one, [other]], [other]
    assert sorted(found([twice, both, none], [one, two])) == sorted(
        [(id(twice), 0, 2), (id(both), 1, 1), (id(both), 0, 1)]
    )


def test_atoms_are_found_in_containers_that_are_not_tracked() -> None:
    atom = "".join(["an ", "atom"])
    inner = (atom, 1)
    gc.collect()
    assert not gc.is_tracked(inner)
    outer = [inner]
    assert found([outer], [atom]) == [(id(inner), 0, 1)]
    assert found([outer], [inner]) == [(id(outer), 0, 1)]


def test_the_lists_themselves_are_no_holders() -> None:
    thing = Thing()
    heap: list[Any] = [thing]
    targets = [thing]
    heap += [heap, targets]
    assert found(heap, targets) == []


def test_it_agrees_with_gc_get_referrers_on_a_random_graph() -> None:
    dice = random.Random(5)
    nodes: list[list[Any]] = [[] for _ in range(400)]
    for node in nodes:
        node.extend(dice.choices(nodes, k=dice.randrange(6)))
    targets = dice.sample(nodes, 60)
    members = set(map(id, nodes))
    expected = {
        (id(holder), i)
        for i, target in enumerate(targets)
        for holder in gc.get_referrers(target)
        if id(holder) in members
    }
    assert {(holder, i) for holder, i, _ in found(nodes, targets)} == expected


def test_it_can_be_asked_in_pieces() -> None:
    thing = Thing()
    heap: list[Any] = [[thing] for _ in range(100)]
    pieces = [referrers(heap, begin, begin + 30, [thing]) for begin in range(0, 100, 30)]
    assert [stopped for _, stopped in pieces] == [30, 60, 90, 100]
    assert sum(len(pairs) for pairs, _ in pieces) == 100


def test_very_many_finds_stop_it_early_and_none_is_lost() -> None:
    thing = Thing()
    heap: list[Any] = [[thing] for _ in range(100_000)]
    begin, total = 0, 0
    while begin < len(heap):
        pairs, begin = referrers(heap, begin, len(heap), [thing])
        total += len(pairs)
    assert total == 100_000


def test_the_whole_heap_can_be_asked_while_other_threads_change_it() -> None:
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
        for _ in range(30):
            heap = gc.get_objects()
            pairs, _ = referrers(heap, 0, len(heap), [thing])
            assert any(found is holder for found, _, _ in pairs)
            del heap, pairs
    finally:
        halt.set()
        for thread in threads:
            thread.join()


def test_no_reference_is_kept() -> None:
    thing = Thing()
    holder = [thing]
    heap: list[Any] = [holder]
    before = sys.getrefcount(thing), sys.getrefcount(holder)
    for _ in range(100):
        referrers(heap, 0, 1, [thing])
    assert (sys.getrefcount(thing), sys.getrefcount(holder)) == before


def test_what_a_tuple_holds_is_found_from_whoever_holds_the_tuple() -> None:
    thing = Thing()
    pair = (thing, [])
    assert found([[pair], {"also": pair}], [thing]) == [(id(pair), 0, 1)]


def test_tuples_being_built_meanwhile_come_out_whole() -> None:
    def building() -> Any:
        for number in range(40):
            heaps = [containers(generation) for generation in range(3)]
            assert not any(type(o) is tuple for heap in heaps for o in heap)
            yield [number, heaps]

    assert len(tuple(building())) == 40
