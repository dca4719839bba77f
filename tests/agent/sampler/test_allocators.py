"""Beside other tools: Python's own allocators and debug hooks, tracemalloc, tools that come and go."""

from __future__ import annotations

import pytest

ALLOCATORS = ["pymalloc", "malloc", "debug", "pymalloc_debug", "malloc_debug"]

EXERCISE = """
    sampler.start(1024, 32, seed=6)
    def site():
        return native.hold(OBJ, 200, 5000), native.hold(MEM, 3000, 500)
    first, second = site()
    grown = [native.grow(OBJ, (10, 600, 50, 5000, 513, 512)) for _ in range(200)]
    before = live("site")
    native.drop(first); native.drop(second)
    del first, second
    stats = sampler.stats()
    result = before, live("site"), stats
"""


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_sampling_works_under_each_of_pythons_allocators(sampled, allocator) -> None:
    before, after, stats = sampled(EXERCISE, env={"PYTHONMALLOC": allocator})
    assert before[0] == pytest.approx(5500, rel=0.2)
    assert before[1] == pytest.approx(5000 * 200 + 500 * 3000, rel=0.2)
    assert after == [0, 0]
    assert stats["watches_frees"] == (0 if allocator == "pymalloc" else 1)
    assert stats["hooks_intact"] == 1
    assert stats["dropped_displaced"] == 0


@pytest.mark.parametrize("order", ["before", "after", "stopped before", "stopped after"])
def test_tracemalloc_may_come_and_go_in_any_order(sampled, order) -> None:
    begin = {
        "before": "tracemalloc.start(5); sampler.start(128, 32)",
        "after": "sampler.start(128, 32); tracemalloc.start(5)",
        "stopped before": "tracemalloc.start(5); sampler.start(128, 32); kept = make(); tracemalloc.stop()",
        "stopped after": "sampler.start(128, 32); tracemalloc.start(5); kept = make(); tracemalloc.stop()",
    }[order]
    result = sampled(f"""
        import tracemalloc
        def make():
            return [bytearray(3000) for _ in range(200)]
        {begin}
        first = sampler.stats()
        def site():
            return native.hold(OBJ, 200, 5000)
        handle = site()
        seen = live("site")[1]
        native.drop(handle)
        if tracemalloc.is_tracing():
            traced = tracemalloc.get_traced_memory()[0] > 0
            tracemalloc.stop()
        last = sampler.stats()
        again = site()
        result = first["hooks_intact"], seen, last["hooks_intact"], live("site")[1], last["rewraps"]
    """)
    first, seen, last, again, rewraps = result
    assert (first, last) == (1, 1)
    # Bytes, since tracemalloc's own records of the blocks, 16 bytes each, are memory of the same line.
    assert seen == pytest.approx(5000 * 200, rel=0.25)
    assert again == pytest.approx(5000 * 200, rel=0.25)
    assert rewraps == (1 if "before" in order else 0)


def test_displaced_hooks_are_noticed_said_and_put_back(sampled) -> None:
    result = sampled("""
        native.remember_allocators()
        sampler.start(1, 16)
        def site():
            return native.hold(OBJ, 100, 500)
        handle = site()
        native.put_back_allocators()
        native.drop(handle)
        unseen = site()
        stats = sampler.stats()
        flushed = live("site")[0]
        seen = site()
        result = [stats[key] for key in ("hooks_intact", "rewraps", "incomplete_since", "dropped_displaced")]
        result += [flushed, live("site")[0]]
    """)
    intact, rewraps, incomplete, dropped, flushed, seen = result
    assert (intact, rewraps) == (1, 1)
    assert incomplete > 0
    assert dropped >= 500
    assert flushed < 10
    assert seen == pytest.approx(500, abs=5)


@pytest.mark.parametrize("allocator", ["pymalloc", "malloc"])
@pytest.mark.parametrize("size", [100, 600, 5000])
def test_a_refused_realloc_leaves_block_and_sample_as_they_were(sampled, allocator, size) -> None:
    result = sampled(
        f"""
        native.install_refusing()
        sampler.start(1, 16)
        def site():
            blocks = []
            for _ in range(50):
                blocks.append(native.allocate(OBJ, {size}))
            return blocks
        def tracked():
            found = [sample[:2] for row in rows("site") for sample in sampler.live_samples(row[0], 1000)]
            return len([1 for address, size in found if address in blocks and size == {size}])
        blocks = site()
        before = tracked()
        refused = [native.refuse_realloc(OBJ, block, new) for block in blocks for new in (10, 513, 100_000)]
        after = tracked()
        for block in blocks:
            native.release(OBJ, block)
        result = all(refused), before, after, tracked()
        """,
        env={"PYTHONMALLOC": allocator},
    )
    assert result == [True, 50, 50, 0]


@pytest.mark.parametrize("allocator", ["pymalloc", "debug"])
def test_the_edges_of_the_allocator_interface(sampled, allocator) -> None:
    result = sampled(
        """
        sampler.start(1, 16)
        zero = native.allocate(OBJ, 0), native.allocate_zeroed(MEM, 0, 8)
        from_nothing = native.reallocate(OBJ, 0, 100)
        to_nothing = native.reallocate(OBJ, from_nothing, 0)
        errors = 0
        too_much = [
            (native.allocate, OBJ, sys.maxsize),
            (native.allocate_zeroed, MEM, sys.maxsize // 2, 3),
            (native.reallocate, OBJ, 0, sys.maxsize - 100),
        ]
        for function, *arguments in too_much:
            try:
                function(*arguments)
            except MemoryError:
                errors += 1
        native.release(OBJ, to_nothing); native.release(OBJ, 0)
        native.release(OBJ, zero[0]); native.release(MEM, zero[1])
        block = native.allocate_zeroed(OBJ, 10, 10)
        result = errors, sampler.stats()["hooks_intact"]
        """,
        env={"PYTHONMALLOC": allocator},
    )
    assert result == [3, 1]
