"""The RAW domain: what C code asks of PyMem_RawMalloc, with the GIL and without; each block counted once."""

from __future__ import annotations

import math

import pytest

ALLOCATORS = ["pymalloc", "malloc", "debug"]


def test_memory_of_compressors_is_seen_at_the_line_that_made_them(sampled) -> None:
    held, freed, line = sampled("""
        import bz2, lzma, zlib
        sampler.start(4096, 16)
        def packed():
            return [zlib.compressobj() for _ in range(20)]
        kept = packed()
        name = "<listcomp>" if rows("<listcomp>") else "packed"
        held = live(name)[1]
        line = max(rows(name), key=lambda row: row[6])[1][0]
        del kept
        result = held, live(name)[1], line
    """)
    assert held > 20 * 200_000
    assert freed < 100_000
    assert line[1] == "<string>"


@pytest.mark.parametrize("how", ["hold_in_thread", "hold_without_gil"])
def test_memory_asked_for_without_the_gil_has_a_name_and_no_stack(sampled, how) -> None:
    before, held, freed, python = sampled(f"""
        sampler.start(512, 16)
        def unnamed():
            return sum(row[6] for row in sampler.export() if row[1] == (("[raw]", "", 0),))
        def site():
            return native.{how}(500, 4000, RAW)
        before = unnamed()
        handle = site()
        held, python = unnamed(), live("site")[1]
        native.drop_in_thread(handle)
        result = before, held, unnamed(), python
    """)
    assert before == 0
    assert held == pytest.approx(2_000_000, rel=0.1)
    assert freed == 0
    assert python < 3000


def test_labels_of_threads_that_let_go_of_the_gil_are_kept(sampled) -> None:
    labels = sampled("""
        sampler.start(1, 16)
        sampler.set_label(7)
        handle = native.hold_without_gil(500, 100, RAW)
        sampler.set_label(0)
        result = [row[3] for row in sampler.export() if row[1][0][0] == "[raw]" and row[6] > 40_000]
    """)
    assert labels == [7]


@pytest.mark.parametrize("size", [24, 512, 513, 5000, 200_000])
def test_estimates_are_unbiased_with_the_gil_and_without(sampled, size) -> None:
    interval, count = 64 << 10, max(40, 40_000_000 // size)
    result = sampled(f"""
        sampler.start({interval}, 16, seed={size})
        def site():
            return native.hold(RAW, {size}, {count})
        handle, other = site(), native.hold_in_thread({size}, {count}, RAW)
        unnamed = [row for row in sampler.export() if row[1][0][0] == "[raw]"]
        result = [live("site"), [sum(row[i] for row in unnamed) for i in (5, 6)]]
        native.drop(handle); native.drop_in_thread(other)
        del handle, other
        result.append(live("site"))
    """)
    p = -math.expm1(-size / interval)
    bound = 5 * math.sqrt((1 - p) / (p * count)) + 1e-3
    for objects, held in result[:2]:
        assert objects == pytest.approx(count, rel=bound)
        assert held == pytest.approx(count * size, rel=bound)
    assert result[2] == [0, 0]


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("domain", ["RAW", "MEM", "OBJ"])
def test_each_block_of_each_size_is_counted_once(sampled, allocator, domain) -> None:
    """Around the limit of pymalloc, where a block of OBJ or MEM becomes one of RAW."""
    counted = sampled(
        f"""
        sampler.start(1, 16)
        def site(size):
            return native.hold({domain}, size, 300)
        result = []
        for size in (16, 400, 470, 490, 511, 512, 513, 520, 600, 5000):
            handle = site(size)
            result.append((size, live("site")[0] / 300))
            native.drop(handle)
        """,
        env={"PYTHONMALLOC": allocator},
    )
    for size, times in counted:
        assert times == pytest.approx(1, abs=0.05), size


@pytest.mark.parametrize("allocator", ALLOCATORS)
@pytest.mark.parametrize("domain", ["RAW", "MEM", "OBJ"])
def test_a_block_that_realloc_takes_across_the_limit_is_counted_once(sampled, allocator, domain) -> None:
    counted = sampled(
        f"""
        sampler.start(1, 16)
        def resized(path):
            blocks = []
            for _ in range(300):
                address = native.allocate({domain}, path[0])
                for size in path[1:]:
                    address = native.reallocate({domain}, address, size)
                blocks.append(address)
            return blocks
        result = []
        for path in ((5000, 100), (100, 5000), (513, 512, 511), (100, 600, 200, 700, 64), (64, 65, 66)):
            blocks = resized(path)
            held = live("resized")[1] - sum(map(sys.getsizeof, blocks)) - sys.getsizeof(blocks)
            result.append((path, held / 300))
            for block in blocks:
                native.release({domain}, block)
            del blocks
        """,
        env={"PYTHONMALLOC": allocator},
    )
    debug = 40 if allocator == "debug" else 0  # blocks below are counted with the marks around them
    for path, size in counted:
        assert path[-1] - 5 <= size <= path[-1] + 5 + debug, counted


def test_objects_of_a_program_are_counted_once(sampled, many_objects) -> None:
    counted, truth = sampled(many_objects)
    assert counted == pytest.approx(truth, rel=0.01)


def test_large_blocks_and_their_storage_lead_to_their_objects(sampled) -> None:
    assert sampled("""
        sampler.start(100, 16)
        def large():
            numbers = range(3000)
            return [bytearray(5000), list(numbers), "x" * 10_000, dict.fromkeys(numbers), set(numbers)]
        kept = large()
        stacks = {row[0] for row in rows("large")}
        found = [item for stack in stacks for item in objects_of(stack, 4000, 5.0)]
        result = all(any(item is found_item for found_item in found) for item in kept)
    """)


@pytest.mark.parametrize("ending", ["", "os._exit(0)", "sampler.stop()"])
def test_threads_may_use_raw_memory_after_python_has_ended(sampled, ending) -> None:
    assert sampled(
        """
        sampler.start(64, 64)
        native.raw_storm_until_the_end(4)
        while sampler.stats()["samples"] <= 100:
            time.sleep(0.01)
        result = True
        """,
        ending=ending,
    )


def test_children_of_a_process_with_raw_storms_go_on(sampled) -> None:
    codes, displaced = sampled(
        """
        sampler.start(16, 16)
        storms = [threading.Thread(target=native.raw_storm, args=(2, 400_000)) for _ in range(2)]
        for thread in storms:
            thread.start()
        codes = []
        for i in range(20):
            pid = os.fork()
            if pid == 0:
                native.release(RAW, native.allocate(RAW, 5000))
                os._exit(0 if sampler.stats()["hooks_intact"] else 1)
            codes.append(os.waitpid(pid, 0)[1])
        for thread in storms:
            thread.join()
        result = codes, sampler.stats()["dropped_displaced"]
        """,
        options=["-W", "ignore"],
    )
    assert codes == [0] * 20
    assert displaced == 0
