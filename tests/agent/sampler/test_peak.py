"""The profile of the moment at which most memory lived."""

from __future__ import annotations

import pytest

PEAK = """
        from heapwatch_wire import pprof
        def profile(**arguments):
            "Live bytes by function, of the samples whose innermost frame is in it."
            found = {}
            for sample in pprof.decode(bytes(sampler.profile({}, **arguments)[0])).samples:
                name = sample.stack[0].function
                found[name] = found.get(name, 0) + sample.values[3]
                assert not arguments or sample.values[:2] == (0, 0)
            return found
        def peak():
            return profile(peak=True)
"""


def test_the_profile_of_the_peak_outlives_the_peak(sampled) -> None:
    result = sampled(f"""
        {PEAK}
        sampler.start(1, 16)
        def early():
            return native.hold(OBJ, 1000, 1000)
        def burst():
            return native.hold(OBJ, 1000, 5000)
        def late():
            return native.hold(OBJ, 1000, 2000)
        first = early()
        begin = time.time()
        more = burst()
        end = time.time()
        at_the_top = peak()
        native.drop(more)
        native.drop(first)
        last = late()
        after, now, stats = peak(), profile(), sampler.stats()
        names = ("early", "burst", "late")
        result = [[found.get(name, 0) for name in names] for found in (at_the_top, after, now)]
        result += [stats["peak_bytes"] - sum(after.values()), begin - 0.1 <= stats["peak_time"] <= end + 0.1]
    """)
    at_the_top, after, now, difference, in_time = result
    assert at_the_top == pytest.approx([1_000_000, 5_000_000, 0], rel=0.001)
    assert after == at_the_top
    assert now == pytest.approx([0, 0, 2_000_000], rel=0.001, abs=200)
    assert abs(difference) < 1000  # rounded row by row
    assert in_time


def test_a_higher_peak_takes_the_place_of_a_lower_one(sampled) -> None:
    result = sampled(f"""
        {PEAK}
        sampler.start(512, 16, seed=5)
        def low():
            return native.hold(MEM, 2000, 2000)
        def high():
            return native.hold(MEM, 2000, 3000)
        native.drop(low())
        first = peak()
        native.drop(high())
        second = peak()
        native.drop(low())
        result = [[found.get(name, 0) for name in ("low", "high")] for found in (first, second, peak())]
    """)
    assert result[0] == [pytest.approx(4_000_000, rel=0.1), 0]
    assert result[1] == [0, pytest.approx(6_000_000, rel=0.1)]
    assert result[2] == result[1]


def test_rows_that_were_given_up_stay_in_the_total(sampled) -> None:
    """64 stacks fit; what had more at the peak is then one of the earlier stacks."""
    peak_bytes, total, kept = sampled(
        f"""
        {PEAK}
        space = {{}}
        exec("".join(f"def f{{i}}():\\n    return bytearray(2000)\\n" for i in range(200)), space)
        sampler.start(1, 8)
        kept = [space[f"f{{i}}"]() for i in range(60)]
        peak_bytes = sampler.stats()["peak_bytes"]
        kept.clear()
        for i in range(60, 200):
            space[f"f{{i}}"]()
            sampler.export()
        found = peak()
        result = peak_bytes, sum(found.values()), found.get("[earlier stacks]", 0)
        """,
        small=True,
    )
    assert total == pytest.approx(peak_bytes, rel=0.05)
    assert kept > 20_000


def test_a_child_has_its_own_peak(sampled) -> None:
    parent, child = sampled(f"""
        {PEAK}
        sampler.start(1, 16)
        def before():
            return native.hold(OBJ, 1000, 3000)
        def after():
            return native.hold(OBJ, 1000, 500)
        native.drop(before())
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                handle = after()
                found = peak()
                os.write(writer, json.dumps([found.get(name, 0) for name in ("before", "after")]).encode())
            finally:
                os._exit(0)
        os.wait()
        os.close(writer)
        found = peak()
        result = [found.get(name, 0) for name in ("before", "after")], json.loads(os.read(reader, 10_000))
    """)
    assert parent == [pytest.approx(3_000_000, rel=0.001), 0]
    assert child == [pytest.approx(0, abs=100), pytest.approx(500_000, rel=0.01)]


def test_before_the_start_there_is_none(sampled) -> None:
    assert "before the sampler was started" in sampled("""
        try:
            sampler.profile({}, peak=True)
        except RuntimeError as error:
            result = str(error)
    """)


def test_the_high_water_mark_begins_anew_when_it_is_asked_for(sampled) -> None:
    idle, marks, stopped, peak = sampled("""
        idle = sampler.high_water()
        sampler.start(1, 16)
        base, _ = sampler.high_water()
        marks = []
        native.drop(native.hold(OBJ, 1000, 3000))
        kept = native.hold(OBJ, 1000, 500)
        marks += sampler.high_water()
        marks += sampler.high_water()
        native.drop(kept)
        marks += sampler.high_water()
        peak = sampler.stats()["peak_bytes"]
        sampler.stop()
        result = idle, [mark - base for mark in marks], sampler.high_water(), peak - base
    """)
    assert (idle, stopped) == (None, None)
    assert marks == pytest.approx([500_000, 3_000_000, 500_000, 500_000, 0, 500_000], abs=20_000)
    assert peak == pytest.approx(3_000_000, abs=20_000), "the profile of the peak has a mark of its own"
