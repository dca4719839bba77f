"""From sampled blocks back to objects."""

from __future__ import annotations

import pytest

MAKERS = {
    "dict": "{'a': n}",
    "list": "[n]",
    "tuple": "(n, n)",
    "set": "set(range(n % 7, 50))",
    "str": "str(n) * 3",
    "bytes": "bytes(200 + n % 7)",
    "bytearray": "bytearray(1000)",
    "float": "float(n)",
    "deque": "collections.deque(range(200))",
    "Node": "Node(n)",
    "Slotted": "Slotted(n)",
    "function": "(lambda: n)",
    "datetime": "datetime.datetime.fromtimestamp(n)",
}


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_objects_of_a_site_are_found(sampled, kind) -> None:
    kinds, true = sampled(f"""
        import collections, datetime
        class Node:
            def __init__(self, n):
                self.n, self.me = n, self
        class Slotted:
            __slots__ = ("n",)
            def __init__(self, n):
                self.n = n
        def make(n):
            return {MAKERS[kind]}
        sampler.start(256, 16, seed=2)
        kept = [make(n) for n in range(1000, 3000)]
        sampler.stop()
        kept_ids = {{id(item) for item in kept}}
        found = [item for row in rows("make") for item in objects_of(row[0], 50, 5.0)]
        result = [type(item).__name__ for item in found], sum(id(item) in kept_ids for item in found)
    """)
    assert true > 0
    assert kind in kinds


def test_strings_that_are_only_keys_are_found_and_who_holds_them(sampled) -> None:
    """The collector leaves them out of a dict whose keys are all strings; this one it doesn't know at all."""
    assert sampled("""
        def key(n):
            return f"key number {n}"
        sampler.start(256, 16, seed=2)
        kept = {key(n): True for n in range(2000)}
        sampler.stop()
        found = [item for row in rows("key") for item in objects_of(row[0], 50, 5.0)]
        walk, held = sampler.Walk(), []
        while not walk.done:
            held += [n for holder, n, times in walk.referrers(found, 1.0) if holder is kept and times == 1]
        result = len(found) >= 50 and set(found) <= set(kept) and set(held) == set(range(len(found)))
    """)


@pytest.mark.parametrize("allocator", ["default", "debug"])
def test_owners_of_storage_are_found(sampled, allocator) -> None:
    """Debug hooks put marks before each block; `python -X dev` and debug builds have them."""
    code = """
        def big_list():
            return [None] * 1_000_000
        def big_dict():
            return dict.fromkeys("abcdefgh"[i % 8] + str(i) for i in range(10_000))
        sampler.start(16 << 10, 16, seed=2)
        kept = big_list(), big_dict()
        sampler.stop()
        def largest(function):
            return max(rows(function), key=lambda row: row[6])[0]
        result = [objects_of(largest("big_list"), 5, 5.0)[0] is kept[0]]
        found = [item for row in rows("big_dict") for item in objects_of(row[0], 5, 5.0)]
        result.append(any(item is kept[1] for item in found))
    """
    env = {} if allocator == "default" else {"PYTHONMALLOC": allocator}
    assert sampled(code, env=env) == [True, True]


def test_memory_that_is_no_object_yields_none_and_references_are_right(sampled) -> None:
    result = sampled("""
        def raw():
            return native.hold(OBJ, 64, 5000)
        def objects():
            return [object.__new__(Thing) for _ in range(2000)]
        class Thing:
            pass
        sampler.start(512, 16, seed=4)
        handle, kept = raw(), objects()
        sampler.stop()
        before = sum(sys.getrefcount(item) for item in kept)
        found = [item for row in rows("raw") for item in objects_of(row[0], 100, 5.0)]
        nothing = [item for item in found if type(item) is not int]
        found = [item for row in sampler.export() for item in objects_of(row[0], 100, 5.0)]
        count = len(found)
        del found
        if nothing: item = None
        after = sum(sys.getrefcount(item) for item in kept)
        result = len(nothing), count > 100, after - before
    """)
    assert result == [0, True, 0]


def test_a_buffer_that_c_code_is_filling_is_never_shown(sampled) -> None:
    """A second reference would make the blocked recv fail when it shortens its buffer."""
    result = sampled("""
        import socket
        ours, theirs = socket.socketpair()
        got = []
        started = threading.Event()
        def receive():
            started.set()
            got.append(ours.recv(100_000))
        sampler.start(1, 16)
        thread = threading.Thread(target=receive)
        thread.start(); started.wait()
        held = []
        deadline = time.monotonic() + 30
        while not any(row[6] > 90_000 for row in rows("receive")) and time.monotonic() < deadline:
            pass
        for row in rows("receive"):
            held += objects_of(row[0], 100, 5.0)
        theirs.sendall(b"x" * 10)
        thread.join()
        result = len(got), len(got[0]), any(type(item) is bytes and len(item) == 100_000 for item in held)
    """)
    assert result == [1, 10, False]


def test_the_search_keeps_to_its_budget(sampled) -> None:
    cut_short, whole, found = sampled("""
        sampler.start(4096, 16, seed=2)
        def lost():
            return native.hold(OBJ, 100, 5000)
        handle = lost()
        many = [[i] for i in range(200_000)]
        stack = max(rows("lost"), key=lambda row: row[6])[0]
        def cost(budget):
            begin = time.process_time()
            found.extend(objects_of(stack, 100, budget))
            return time.process_time() - begin
        found = []
        cut_short = min(cost(0.0) for _ in range(5))
        result = cut_short, min(cost(1000.0) for _ in range(5)), len(found)
    """)
    assert found == 0
    assert cut_short < whole / 3


def test_a_tuple_under_construction_is_left_alone(sampled) -> None:
    """tuple(generator) resizes its result, which fails when somebody else refers to it."""
    assert sampled("""
        sampler.start(1, 16)
        kept = []
        def items():
            for i in range(1000):
                if i % 100 == 50:
                    kept.extend(item for row in rows("build") for item in objects_of(row[0], 100))
                yield i
        def build():
            return tuple(items())
        built = build()
        found = [item for row in rows("build") for item in objects_of(row[0], 100)]
        result = len(built) == 1000 and any(item is built for item in found)
    """)
