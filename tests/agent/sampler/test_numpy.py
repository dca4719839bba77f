"""Buffers of numpy's arrays, which numpy takes from the C library by a data handler of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("numpy")

WATCH = """
        import numpy
        core = getattr(numpy, "_core", None) or numpy.core
        assert sampler.watch_arrays(core._multiarray_umath._ARRAY_API) == ""
"""


def test_buffers_are_told_by_the_line_that_made_them(sampled) -> None:
    held, line, freed = sampled(f"""
        sampler.start(64 << 10, 16, seed=2)
        {WATCH}
        def array():
            return numpy.empty(1_000_000), numpy.zeros((500, 2000)), numpy.arange(1_000_000)
        kept = array()
        held = live("array")[1]
        line = max(rows("array"), key=lambda row: row[6])[1][0]
        del kept
        result = held, line, live("array")[1]
    """)
    assert held == pytest.approx(24_000_000, rel=0.02)
    assert line[0] == "array"
    assert freed == 0


def test_figures_of_small_and_large_buffers_are_exact_in_exact_mode(sampled) -> None:
    result = sampled(f"""
        {WATCH.replace("sampler.watch", "sampler.start(1, 16) or sampler.watch")}
        sampler.set_interval(1 << 26)
        def arrays(size):
            return [numpy.empty(size, "u1") for _ in range(100)]
        result = []
        for size in (1, 8, 100, 1023, 1024, 5000, 3_000_000):
            before = live("arrays")[1] + live("<listcomp>")[1]
            sampler.set_interval(1)
            kept = arrays(size)
            sampler.set_interval(1 << 26)
            held = live("arrays")[1] + live("<listcomp>")[1] - before
            objects = sum(sys.getsizeof(item) - size for item in kept) + sys.getsizeof(kept)
            result.append((size, held - objects))
            del kept
    """)
    for size, held in result:
        # Beside its buffer and itself an array has its shape and strides, which numpy caches, in 16 bytes.
        assert 100 * size - 500 <= held <= 100 * size + 100 * 32 + 2000, result


def test_a_resized_array_counts_with_its_new_size(sampled) -> None:
    before, grown, shrunk, failed = sampled(f"""
        sampler.start(4096, 16, seed=4)
        {WATCH}
        def made():
            return numpy.zeros(500_000, "u1")
        def grow(array):
            array.resize(3_000_000, refcheck=False)
        def shrink(array):
            array.resize(1_000_000, refcheck=False)
        array = made()
        before = live("made")[1]
        grow(array)
        grown = live("made")[1], live("grow")[1]
        try:
            array.resize(1 << 60, refcheck=False)
        except MemoryError:
            failed = live("grow")[1]
        shrink(array)
        result = before, grown, (live("grow")[1], live("shrink")[1]), failed
    """)
    assert before == pytest.approx(500_000, rel=0.04)
    assert grown == [pytest.approx(0, abs=20_000), pytest.approx(3_000_000, rel=0.01)]
    assert failed == pytest.approx(3_000_000, rel=0.01)
    assert shrunk == [pytest.approx(0, abs=20_000), pytest.approx(1_000_000, rel=0.01)]


def test_threads_and_contexts_are_seen_and_old_arrays_are_freed_well(sampled) -> None:
    threaded, copied, left = sampled(f"""
        import contextvars, numpy
        old = [numpy.zeros(200_000) for _ in range(50)]
        sampler.start(4096, 16, seed=4)
        {WATCH}
        old.clear()
        kept = []
        def array():
            kept.append(numpy.zeros(500_000))
        thread = threading.Thread(target=array); thread.start(); thread.join()
        threaded = live("array")[1]
        contextvars.Context().run(array)
        copied = live("array")[1]
        kept.clear()
        result = threaded, copied, live("array")[1]
    """)
    assert threaded == pytest.approx(4_000_000, rel=0.02)
    assert copied == pytest.approx(8_000_000, rel=0.02)
    assert left < 20_000


def test_an_array_is_found_behind_its_buffer(sampled) -> None:
    assert sampled(f"""
        sampler.start(64 << 10, 16, seed=2)
        {WATCH}
        def array():
            return {{"kept": numpy.zeros(2_000_000)}}
        kept = array()
        found = [item for row in rows("array") for item in objects_of(row[0], 100, 5.0)]
        result = any(item is kept["kept"] for item in found)
    """)


def test_native_mode_counts_buffers_once(sampled, preloaded) -> None:
    held = sampled(
        f"""
        sampler.start(16384, 16, seed=2)
        {WATCH}
        def array():
            return numpy.ones(4_000_000)
        kept = array()
        result = sum(row[6] for row in sampler.export() if "array" in python_frames(row))
        """,
        env=preloaded,
    )
    assert held == pytest.approx(32_000_000, rel=0.01)


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_agent_sees_arrays_whenever_numpy_is_imported(order) -> None:
    program = """
        ORDER
        def array():
            return numpy.zeros(4_000_000)
        kept = array()
        print(sum(row.inuse_bytes for row in sampler.export() if row.frames[0].function == "array"))
    """
    start = "from heapwatch.sampler import open_sampler\n        sampler = open_sampler(65536, 16)"
    steps = ["import numpy", start] if order == "before" else [start, "import numpy"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program.replace("ORDER", "\n        ".join(steps)))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert float(done.stdout) == pytest.approx(32_000_000, rel=0.02)


@pytest.mark.parametrize("table", ["None", "object()"])
def test_something_else_than_the_table_is_refused(sampled, table) -> None:
    assert "not numpy" in sampled(f"sampler.start(512, 16); result = sampler.watch_arrays({table})")
