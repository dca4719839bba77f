"""Walks over a heap at its worst: objects that die, are half built, foreign, or take another's place."""

from __future__ import annotations

import os
import sys

import pytest

SECONDS = float(os.environ.get("HEAPWATCH_STRESS_SECONDS", "4"))


def test_a_block_that_is_freed_between_two_steps_is_not_taken_for_what_comes_after_it(sampled) -> None:
    """CPython gives the address to the next object of that size, often at once."""
    wrong, found = sampled("""
        class Ours:
            __slots__ = ("n",)
        class Theirs:
            __slots__ = ("n",)
        def ours(count):
            return [Ours() for _ in range(count)]
        sampler.start(1, 16)
        ballast = [[n] for n in range(20_000)]
        wrong = total = 0
        for turn in range(20):
            kept = ours(2000)
            gc.collect(0)
            lines = rows("<listcomp>") + rows("ours")
            stacks = [row[0] for row in lines if row[5] > 0]
            walk = sampler.Walk(stacks[:60], 1000)
            walk.objects(0.0)
            half = kept[::2]
            del kept[:]
            theirs = [Theirs() for _ in range(3000)]
            while not walk.done:
                got = [obj for _, obj in walk.objects(0.0)]
                wrong += sum(type(obj) is Theirs for obj in got)
                total += sum(type(obj) is Ours for obj in got)
                del got
            del half, theirs
        result = wrong, total
    """)
    assert wrong == 0
    assert found > 0


def test_half_built_and_foreign_objects_are_walked(sampled) -> None:
    """`kind.__new__(kind)` leaves C structures as bare as they may ever be."""
    kinds, census = sampled("""
        import array, asyncio, collections, ctypes, datetime, decimal, functools, io, itertools, random, re
        import sqlite3, ssl, types, weakref, zoneinfo, concurrent.futures, contextvars, xml.etree.ElementTree
        class Bare(ctypes.Structure):
            _fields_ = [("p", ctypes.py_object)]
        kept, seen, waiting = [], set(), [object]
        while waiting:
            kind = waiting.pop()
            if kind in seen:
                continue
            seen.add(kind)
            waiting += type.__subclasses__(kind) if kind is not type else type.__subclasses__(type)
            try:
                kept.append([kind.__new__(kind)])
            except BaseException:
                continue
        walk = sampler.Walk()
        count = 0
        while not walk.done:
            count += sum(row[1] for row in walk.census(1, 0.001))
        walk = sampler.Walk()
        while not walk.done:
            walk.referrers(kept[:200], 0.001)
        sampler.start(1, 16)
        more = [[n, {}] for n in range(1000)]
        found = [obj for row in sampler.export() for obj in objects_of(row[0], 20, 1.0)]
        result = len(kept), count
    """)
    assert kinds > 200
    assert census > 10_000


def test_everything_at_once(sampled) -> None:
    """Threads that allocate, build tuples and cycles, collect, freeze, fork, while others walk."""
    walks = sampled(
        f"""
        import weakref
        sampler.start(64, 32)
        stop = time.monotonic() + {SECONDS}
        class Node: pass
        def churn():
            kept = []
            while time.monotonic() < stop:
                for n in range(300):
                    node = Node(); node.me = node; node.data = [n, str(n), {{n: (n, [n])}}]
                    weakref.finalize(node, int)
                    kept.append(tuple([n, node] for _ in range(3)))
                kept = kept[-100:]
        def turn():
            while time.monotonic() < stop:
                gc.collect(1); gc.freeze(); gc.unfreeze(); time.sleep(0.01)
        failures, walks = [], []
        def look():
            found = []
            try:
                while time.monotonic() < stop:
                    stacks = [row[0] for row in sampler.export()[:60]]
                    walk = sampler.Walk(stacks, 10)
                    while not walk.done and time.monotonic() < stop:
                        found = [obj for _, obj in walk.objects(0.001)]
                    targets = found[:100]
                    walk = sampler.Walk()
                    while not walk.done and time.monotonic() < stop:
                        [type(holder).__name__ for holder, _, _ in walk.referrers(targets, 0.001)]
                    walk = sampler.Walk()
                    while not walk.done and time.monotonic() < stop:
                        walk.census(7, 0.001)
                    walks.append(walk.seen)
            except BaseException as error:
                failures.append(repr(error))
        threads = [threading.Thread(target=f) for f in (churn, churn, turn, look, look)]
        for thread in threads: thread.start()
        while time.monotonic() < stop:
            if (child := os.fork()) == 0:
                walk = sampler.Walk()
                while not walk.done: walk.census(3, 0.001)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            time.sleep(0.2)
        for thread in threads: thread.join()
        result = failures, len(walks)
    """
    )
    assert walks[0] == []
    assert walks[1] > 0


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the module for subinterpreters has another name")
def test_other_interpreters_are_refused_clearly(sampled) -> None:
    told = sampled("""
        import _xxsubinterpreters as interpreters
        where = sampler.__spec__.origin
        reading, writing = os.pipe()
        code = ["import importlib.util, os", f"where, descriptor = {where!r}, {writing}"]
        code += ["spec = importlib.util.spec_from_file_location('_sampler', where)", "try:"]
        code += ["    module = importlib.util.module_from_spec(spec)", "    spec.loader.exec_module(module)"]
        code += ["    module.Walk()", "    told = 'walked'"]
        code += ["except (RuntimeError, ImportError) as error:", "    told = str(error)"]
        code += ["os.write(descriptor, told.encode())"]
        other = interpreters.create()
        interpreters.run_string(other, chr(10).join(code))
        interpreters.destroy(other)
        result = os.read(reading, 1000).decode()
    """)
    assert "main interpreter only" in told or "does not support" in told
