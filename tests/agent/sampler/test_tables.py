"""Bounded tables: what happens when they fill, when code goes away, and what the sampler itself keeps."""

from __future__ import annotations

import pytest


def test_more_stacks_than_the_table_holds_are_counted_and_room_returns(sampled) -> None:
    """64 stacks fit; 500 functions allocate. What finds no room is counted under a name of its own."""
    result = sampled(
        """
        space = {}
        exec("".join(f"def f{i}():\\n    return bytearray(2000)\\n" for i in range(500)), space)
        sampler.start(1, 8)
        kept = [space[f"f{i}"]() for i in range(500)]
        overflow, [first] = live("[stack table full]"), rows("f0")
        dropped = sampler.stats()["dropped_stacks"]
        kept.clear()
        sampler.export(); sampler.export()
        later = bytearray(5_000)
        def fresh():
            return bytearray(70_000)
        kept = fresh()
        seen = live("fresh")[1]
        ids = {row[0] for row in rows("fresh")}
        result = overflow[1], first[6], dropped, seen, first[0] in ids
        """,
        small=True,
    )
    overflow, first, dropped, seen, reused = result
    assert overflow >= 400 * 2000
    assert first >= 2000
    assert dropped > 400
    assert seen >= 70_000
    assert not reused


def test_more_rows_than_the_table_holds_are_counted(sampled) -> None:
    result = sampled(
        """
        sampler.start(1, 8)
        def site():
            return bytearray(2000)
        kept = []
        for label in range(1000):
            sampler.set_label(label)
            kept.append(site())
        sampler.set_label(0)
        total, stats = sampler.stats()["live_bytes"], sampler.stats()
        overflow = live("[stack table full]")[1]
        kept.clear()
        sampler.export(); sampler.export()
        sampler.set_label(5000)
        kept = site()
        sampler.set_label(0)
        result = total, overflow, stats["dropped_rows"], [row[3] for row in rows("site")]
        """,
        small=True,
    )
    total, overflow, dropped, labels = result
    assert total >= 1000 * 2000
    assert overflow >= 800 * 2000
    assert dropped > 800
    assert 5000 in labels


def test_code_that_nobody_else_keeps_is_let_go_and_its_frames_keep_their_text(sampled) -> None:
    result = sampled("""
        import weakref
        sampler.start(1, 8)
        space = {}
        exec(compile("def gone():\\n    return bytearray(3000)\\n", "/templates/page-1.html", "exec"), space)
        kept = space["gone"]()
        watch = weakref.ref(space["gone"].__code__)
        del space
        gc.collect()
        before = watch() is not None
        first = rows("gone")[0][1][0]
        sampler.export()  # the first let go of the module's code, which kept the function's
        after = watch() is None
        second = rows("gone")[0][1][0]
        result = before, after, first, second, live("gone")[1]
    """)
    before, after, first, second, size = result
    assert before
    assert after
    assert first == second == ["gone", "/templates/page-1.html", 2]
    assert size >= 3000


def test_endless_new_code_neither_leaks_nor_mixes_names(sampled) -> None:
    """Code objects come at addresses of dead ones; each row must name the function that allocated."""
    result = sampled(
        """
        sampler.start(1, 4)
        wrong, kept = 0, []
        for i in range(600):
            space = {}
            exec(compile(f"def f{i}():\\n    return bytearray({3000 + i})\\n", f"file{i}.py", "exec"), space)
            kept = [space[f"f{i}"]()]
            del space
            if i % 10 == 0:
                for row in sampler.export():
                    name, file, line = row[1][0]
                    if file.startswith("file") and name != "<module>":
                        wrong += name[1:] != file[4:-3]
                        sizes = [s[1] for s in sampler.live_samples(row[0], 10) if s[1] > 3000]
                        wrong += any(size != 3001 + int(name[1:]) for size in sizes)
        result = wrong, sampler.stats()["own_bytes"]
        """,
        small=True,
    )
    wrong, own = result
    assert wrong == 0
    assert own < 1 << 20


def test_own_memory_stays_flat_under_churn(sampled) -> None:
    early, late, resident = sampled("""
        def resident():
            with open("/proc/self/smaps_rollup") as file:  # statm and status may be late by many pages
                return sum(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024
        def churn(rounds):
            for i in range(rounds):
                kept = [str(i) * 20 for i in range(2000)], [[] for _ in range(500)]
                if i % 20 == 0:
                    sampler.export()
        sampler.start(256, 64)
        churn(100)
        early, begin = sampler.stats()["own_bytes"], resident()
        churn(600)
        result = early, sampler.stats()["own_bytes"], resident() - begin
    """)
    assert late <= early * 1.1
    assert resident < 2 << 20


def test_starting_costs_less_than_three_megabytes(sampled) -> None:
    grown, own = sampled("""
        def resident():
            with open("/proc/self/smaps_rollup") as file:
                return sum(int(line.split()[1]) for line in file if line.startswith(("Rss:",))) * 1024
        before = resident()
        sampler.start(64 << 10, 128)
        kept = [str(i) for i in range(1000)]
        sampler.export()
        result = resident() - before, sampler.stats()["own_bytes"]
    """)
    assert grown < 3 << 20
    assert own < 1 << 20


def test_a_live_sample_costs_at_most_128_bytes_besides_padding(sampled) -> None:
    before, after, samples, padding = sampled("""
        sampler.start(1, 16)
        before = sampler.stats()
        handle = native.hold(OBJ, 100, 60_000)
        after = sampler.stats()
        result = before["own_bytes"], after["own_bytes"], after["live_samples"], after["padding_bytes"]
    """)
    assert (after - before) / samples <= 128
    assert padding / samples == pytest.approx(413, rel=0.05)
