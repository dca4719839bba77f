"""The estimates have no bias, and spread as the formula says.

Seeds are fixed, so each of these passes or fails for good; bounds are 5 standard errors wide, taken from
the estimator's own theory: a block of size s is sampled with p = 1 - exp(-s/R), and n blocks give a relative
standard error of sqrt((1 - p) / (p * n)).
"""

from __future__ import annotations

import math

import pytest

KIB, MIB = 1 << 10, 1 << 20


def standard_error(size: int, interval: int, count: int) -> float:
    p = -math.expm1(-size / interval)
    return math.sqrt((1 - p) / (p * count))


@pytest.mark.parametrize("domain", ["OBJ", "MEM"])
@pytest.mark.parametrize(
    ("size", "interval", "count"),
    [
        (16, 4 * KIB, 400_000),
        (100, 16 * KIB, 200_000),
        (512, 64 * KIB, 200_000),
        (513, 64 * KIB, 100_000),
        (4 * KIB, 64 * KIB, 20_000),
        (64 * KIB, 64 * KIB, 4_000),
        (1 * MIB, 512 * KIB, 1_000),
        (16 * MIB, 8 * MIB, 300),
        (16 * MIB, 64 * MIB, 300),
    ],
)
def test_live_and_allocated_figures_are_unbiased_for_every_size(
    sampled, domain, size, interval, count
) -> None:
    result = sampled(f"""
        sampler.start({interval}, 16, seed={size + interval})
        def site():
            return native.hold({domain}, {size}, {count})
        handle = site()
        result = [live("site"), allocated("site")]
        native.drop(handle)
        del handle
        result.append(live("site"))
    """)
    bound = 5 * standard_error(size, interval, count) + 1e-3
    for objects, size_bytes in result[:2]:
        assert objects == pytest.approx(count, rel=bound)
        assert size_bytes == pytest.approx(count * size, rel=bound)
    # What may be left is pymalloc's list of its arenas, memory of the RAW domain that grew here.
    assert result[2][0] <= 0.002 * count
    assert result[2][1] <= 0.002 * count * size


def test_many_small_trials_have_the_right_mean_and_the_right_spread(sampled) -> None:
    size, interval, blocks, trials = 256, 4096, 500, 1500
    estimates = sampled(f"""
        sampler.start({interval}, 4, seed=11)
        def site():
            return native.hold(OBJ, {size}, {blocks})
        result = []
        rest = 0  # what the interpreter keeps of the calls themselves: an argument tuple on its free list
        for _ in range({trials}):
            handle = site()
            result.append(live("site")[1] - rest)
            native.drop(handle)
            rest = live("site")[1]
    """)
    true = size * blocks
    mean = sum(estimates) / trials
    spread = math.sqrt(sum((x - mean) ** 2 for x in estimates) / (trials - 1)) / true
    theory = standard_error(size, interval, blocks)
    assert mean == pytest.approx(true, rel=5 * theory / math.sqrt(trials))
    assert spread == pytest.approx(theory, rel=0.1)


def test_a_realloc_is_a_fresh_draw_of_its_whole_new_size(sampled) -> None:
    """Blocks taken through many sizes, up and down across the small-block limit, end unbiased."""
    sizes, interval, blocks = (10, 700, 40, 3000, 512, 513, 200), 256, 40_000
    result = sampled(f"""
        sampler.start({interval}, 4, seed=5)
        def site():
            return [native.grow(OBJ, {sizes}) for _ in range({blocks})]
        kept = site()
        found = [row for row in rows("<listcomp>") + rows("site")]
        result = [sum(row[column] for row in found) for column in (5, 6, 7, 8)]
    """)
    # Besides the blocks, `site` makes an int object of 32 bytes for each, and the list.
    extra_objects, extra_bytes = blocks, 32 * blocks
    assert result[0] - extra_objects == pytest.approx(blocks, rel=0.1)
    assert result[1] - extra_bytes == pytest.approx(blocks * sizes[-1], rel=0.1)
    assert result[3] - extra_bytes == pytest.approx(blocks * sum(sizes), rel=0.05)


def test_each_sample_keeps_its_weight_when_the_interval_changes(sampled) -> None:
    size, count = 1000, 60_000
    objects, size_bytes = sampled(f"""
        sampler.start(1 << 12, 4, seed=3)
        def site():
            return native.hold(OBJ, {size}, {count // 3})
        handles = [site()]
        sampler.set_interval(1 << 20)
        handles.append(site())
        sampler.set_interval(1 << 14)
        handles.append(site())
        result = live("site")
    """)
    third = count // 3
    error = math.sqrt(sum((third * standard_error(size, r, third)) ** 2 for r in (1 << 12, 1 << 20, 1 << 14)))
    assert objects == pytest.approx(count, abs=5 * error)
    assert size_bytes == pytest.approx(count * size, abs=5 * error * size)


def test_an_interval_of_one_byte_counts_every_block_exactly(sampled) -> None:
    counted, figures, weighed, left = sampled("""
        import collections
        sampler.start(1, 16)
        blocks = ((OBJ, 1), (MEM, 3), (RAW, 2), (OBJ, 67), (MEM, 511), (OBJ, 513), (RAW, 9001))
        def site():
            return [native.hold(domain, size, 1000) for domain, size in blocks]
        def found():
            return [row for row in sampler.export() if "site" in python_frames(row)]
        def all_samples():
            return [size for row in found() for _, size, _, _ in sampler.live_samples(row[0], 100_000)]
        handles = site()
        figures = [sum(row[column] for row in found()) for column in (5, 6)]
        samples = all_samples()
        counted = collections.Counter(samples)
        for handle in handles:
            native.drop(handle)
        left = collections.Counter(all_samples())
        sizes = [size for _, size in blocks]
        counted, left = [[counts[size] for size in sizes] for counts in (counted, left)]
        result = counted, figures, [len(samples), sum(samples)], left
    """)
    assert counted == [1000] * 7
    assert figures == weighed
    assert left == [0] * 7


def test_a_full_table_thins_its_samples_without_bias(sampled) -> None:
    """40,000 blocks at one byte would need 40,000 samples; the table of this build holds 4,096."""
    result = sampled(
        """
        sampler.start(1, 4, seed=8)
        def small():
            return native.hold(OBJ, 100, 40_000)
        def large():
            return native.hold(OBJ, 100_000, 500)
        handles = [large(), small()]
        result = [live("small"), live("large"), sampler.stats()]
        """,
        small=True,
    )
    small, large, stats = result
    assert stats["interval_doublings"] > 3
    assert stats["interval"] == 2 ** stats["interval_doublings"]
    assert stats["thinned"] > 0
    assert stats["dropped_table_full"] == 0
    error = standard_error(100, stats["interval"], 40_000)
    assert small[0] == pytest.approx(40_000, rel=5 * error)
    assert large[0] == pytest.approx(500, rel=5 * standard_error(100_000, stats["interval"], 500) + 1e-3)


def test_two_processes_sample_different_blocks(sampled) -> None:
    code = """
        sampler.start(4096, 4)
        handles, result = [], []
        for _ in range(20):  # twenty counts of about 24 each: equal by chance once in 10**20
            handles.append(native.hold(OBJ, 100, 1000))
            result.append(sampler.stats()["samples"])
    """
    assert sampled(code) != sampled(code)
