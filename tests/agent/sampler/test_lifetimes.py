"""How long blocks lived, and how old those are that live."""

from __future__ import annotations

import math

import pytest
from heapwatch.sampler import AGE_UNIT

FIND = """
        def lifetimes(function):
            "Ended and live objects and bytes by age, of the stacks whose innermost frame is in the function."
            ids = {row[0] for row in rows(function)}
            found = [item[1:] for item in sampler.lifetimes() if item[0] in ids]
            def total(kind):
                return [sum(ages[i] for ages in kind if i < len(ages)) for i in range(24)]
            return [total(kind) for kind in zip(*found)]
"""


def bucket(age: float) -> int:
    """Of ages in seconds: those in [2**(n - 1), 2**n) units are in bucket n."""
    return 0 if age < AGE_UNIT else int(math.log2(age / AGE_UNIT)) + 1


def oldest(age: float) -> int:
    """The last bucket in which blocks may be that lived for less than `age` seconds.

    The clock of ages tells whole units, and may itself be late by less than one: two more may be counted.
    """
    return bucket(age + 2 * AGE_UNIT)


def test_ended_and_live_blocks_are_told_by_age(sampled) -> None:
    result = sampled(f"""
        {FIND}
        sampler.start(1, 16)
        def site():
            return native.hold(OBJ, 100, 1000)
        times = [time.monotonic()]
        old = site()
        brief = site()
        native.drop(brief)
        times.append(time.monotonic())
        time.sleep(0.3)
        times.append(time.monotonic())
        longer = site()
        times.append(time.monotonic())
        time.sleep(0.3)
        times.append(time.monotonic())
        native.drop(longer)
        times.append(time.monotonic())
        result = lifetimes("site"), times
    """)
    (ended_objects, ended_bytes, live_objects, live_bytes), (start, brief, again, made, after, end) = result
    assert sum(ended_objects[: oldest(brief - start) + 1]) >= 995
    assert sum(ended_objects[bucket(after - made - AGE_UNIT) : oldest(end - again) + 1]) >= 995
    assert sum(ended_objects) == pytest.approx(2000, abs=10)
    assert sum(ended_bytes) == pytest.approx(200_000, rel=0.01)
    assert sum(live_objects) == pytest.approx(1000, abs=5)
    assert sum(live_objects[: bucket(after - brief - AGE_UNIT)]) < 5
    assert sum(live_bytes) == pytest.approx(100_000, rel=0.01)


def test_weights_are_unbiased_at_every_interval(sampled) -> None:
    ended = sampled(f"""
        {FIND}
        sampler.start(1 << 12, 4, seed=3)
        def site():
            return native.hold(OBJ, 1000, 20_000)
        for interval in (1 << 12, 1 << 18, 1 << 14):
            sampler.set_interval(interval)
            native.drop(site())
        result = lifetimes("site")
    """)
    assert sum(ended[0]) == pytest.approx(60_000, rel=0.25)  # 76 samples are expected at 256 KiB
    assert sum(ended[1]) == pytest.approx(60_000_000, rel=0.25)
    assert sum(ended[2]) < 300


def test_totals_agree_with_allocated_and_live(sampled) -> None:
    allocated, live, ended, alive = sampled("""
        sampler.start(2048, 16)
        def churn(rounds):
            kept = []
            for i in range(rounds):
                kept.append([str(i) * 20 for i in range(300)])
                if len(kept) > 20:
                    kept.pop(0)
            return kept
        kept = churn(300)
        gc.disable()
        shown = sampler.lifetimes()
        stats = sampler.stats()
        ended = sum(sum(item[2]) for item in shown)
        alive = sum(sum(item[4]) for item in shown)
        result = stats["allocated_bytes"], stats["live_bytes"], ended, alive
    """)
    # Between the two readings, a few objects come and go.
    assert alive == pytest.approx(live, rel=0.02, abs=100_000)
    assert ended + alive == pytest.approx(allocated, rel=0.02)


def test_a_realloc_ends_a_block_unless_it_fails(sampled) -> None:
    ended, failed = sampled(f"""
        {FIND}
        native.install_refusing()
        sampler.start(1, 16)
        def site():
            blocks = []
            for _ in range(200):
                blocks.append(native.allocate(MEM, 5000))
            return blocks
        blocks = site()
        before = sum(lifetimes("site")[1])
        refused = [native.refuse_realloc(MEM, block, 9000) for block in blocks]
        failed = sum(lifetimes("site")[1]) - before
        for block in blocks:
            native.reallocate(MEM, block, 6000)
        result = sum(lifetimes("site")[1]) - before, failed
    """)
    assert failed == pytest.approx(0, abs=2000)
    assert ended == pytest.approx(1_000_000, rel=0.01)


def test_only_the_stacks_asked_for_are_shown(sampled) -> None:
    one, nothing, error = sampled("""
        sampler.start(1, 16)
        def site():
            return bytearray(3000)
        kept = site()
        [stack] = {row[0] for row in rows("site")}
        try:
            sampler.lifetimes([-1])
            error = ""
        except OverflowError as problem:
            error = type(problem).__name__
        result = [item[0] == stack for item in sampler.lifetimes([stack])], sampler.lifetimes([]), error
    """)
    assert one == [True]
    assert nothing == []
    assert error == "OverflowError"


def test_a_child_counts_its_own_ends_and_keeps_the_age_of_what_it_inherited(sampled) -> None:
    ended, live = sampled(f"""
        {FIND}
        sampler.start(1, 16)
        def site():
            return native.hold(OBJ, 100, 1000)
        native.drop(site())
        old = site()
        time.sleep(0.2)
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                native.drop(site())
                found = lifetimes("site")
                os.write(writer, json.dumps([found[0], found[2]]).encode())
            finally:
                os._exit(0)
        os.wait()
        os.close(writer)
        result = json.loads(os.read(reader, 10_000))
    """)
    assert sum(ended) == pytest.approx(1000, abs=10)
    assert sum(live[3:]) == pytest.approx(1000, abs=10)


def test_more_stacks_than_the_table_holds_are_counted_and_room_returns(sampled) -> None:
    lost, seen = sampled(
        """
        space = {}
        exec("".join(f"def f{i}():\\n    return bytearray(2000)\\n" for i in range(50)), space)
        sampler.start(1, 8)
        for i in range(50):
            space[f"f{i}"]()
        lost = sampler.stats()["dropped_lifetimes"]
        for i in range(300):
            def fresh():
                return bytearray(70_000)
            fresh()
            sampler.export()
        shown = {item[0] for item in sampler.lifetimes()}
        result = lost, len(shown)
        """,
        small=True,
    )
    assert lost > 0
    assert 0 < seen <= 32


def test_before_the_start_there_is_nothing(sampled) -> None:
    assert sampled("result = sampler.lifetimes()") == []
