"""What a profile shows: storage of containers, names, lines, labels, threads, stacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest


def test_storage_of_lists_and_dicts_is_seen(sampled) -> None:
    result = sampled("""
        sampler.start(8 << 10, 16, seed=1)
        def big_list():
            return [None] * 10_000_000
        def grown_list():
            items = []
            for _ in range(1_000_000):
                items.append(None)
            return items
        def big_dict():
            return dict.fromkeys(range(500_000))
        kept = big_list(), grown_list(), big_dict()
        result = [live("big_list")[1], live("grown_list")[1], live("big_dict")[1]]
        result += [sys.getsizeof(kept[0]), sys.getsizeof(kept[1]), sys.getsizeof(kept[2])]
    """)
    assert result[0] == pytest.approx(result[3], rel=0.01)
    assert result[1] == pytest.approx(result[4], rel=0.01)
    assert result[2] == pytest.approx(result[5] + 500_000 * 32, rel=0.1)  # the integers too


def test_frames_carry_qualified_names_files_and_the_lines_that_allocate(sampled) -> None:
    frames = sampled("""
        sampler.start(1, 16)
        source = "class Straße:\\n def größe(self):\\n  x = 1\\n  return bytearray(5000)\\n"
        space = {}
        exec(compile(source, "/café/文件.py", "exec"), space)
        def caller():
            return space["Straße"]().größe()
        kept = caller()
        result = rows("größe")[0][1]
    """)
    assert frames[0] == ["Straße.größe", "/café/文件.py", 4]
    assert frames[1][0] == "caller"
    assert frames[-1][0] == "<module>"


def test_deep_stacks_are_cut_and_marked(sampled) -> None:
    result = sampled("""
        sampler.start(1, 10)
        def leaf(depth):
            return bytearray(3000) if depth == 0 else leaf(depth - 1)
        sys.setrecursionlimit(5000)
        kept = leaf(3), leaf(3000)
        found = [(row[2], len(row[1])) for row in rows("leaf") if row[6] > 2900]
        result = sorted(found)
    """)
    assert result == [[False, 5], [True, 10]]


def test_labels_belong_to_threads_and_part_the_figures(sampled) -> None:
    result = sampled("""
        sampler.start(1, 16)
        def work():
            return bytearray(10_000)
        previous = sampler.set_label(7)
        kept = [work()]
        def other():
            kept.append(work())
        thread = threading.Thread(target=other, name="worker-é")
        thread.start(); thread.join()
        back = sampler.set_label(0)
        kept.append(work())
        seen = sorted((row[3], row[6] > 9_000) for row in rows("work"))
        result = previous, back, seen
    """)
    assert result[:2] == [0, 7]
    assert result[2] == [[0, True], [0, True], [7, True]]


def test_threads_are_told_by_name(sampled) -> None:
    names = sampled("""
        sampler.start(1, 16)
        ready, leave = threading.Event(), threading.Event()
        def work():
            kept = bytearray(100_000)
            ready.set()
            leave.wait()
        thread = threading.Thread(target=work, name="Übung 1")
        thread.start(); ready.wait()
        alive = [row[4] for row in rows("work") if row[6] > 90_000]
        leave.set(); thread.join()
        kept = bytearray(100_000)
        result = alive, [row[4] for row in rows("<module>") if row[6] > 90_000]
    """)
    assert names == [["Übung 1"], ["MainThread"]]


def test_short_threads_are_joined_and_every_row_has_its_own_key(sampled) -> None:
    result = sampled("""
        sampler.start(256, 16)
        kept = []
        def work():
            kept.append([str(i) for i in range(200)])
        for round in range(20):
            for _ in range(20):
                thread = threading.Thread(target=work); thread.start(); thread.join()
            exported = sampler.export()
        keys = [(row[0], row[3], row[4]) for row in exported]
        total = sum(row[6] for row in exported)
        names = {row[4] for row in exported}
        result = len(keys) == len(set(keys)), len(names), total, sampler.stats()["live_bytes"]
    """)
    unique, names, total, live = result
    assert unique
    assert names <= 3
    assert total == pytest.approx(live, rel=0.01)


def test_export_since_a_clock_shows_only_what_changed(sampled) -> None:
    result = sampled("""
        sampler.start(1, 16)
        def early():
            return bytearray(1000)
        def late():
            return bytearray(1000)
        kept = early()
        clock = sampler.stats()["clock"]
        kept = kept, late()
        result = len(rows("early", since=clock)), len(rows("late", since=clock)), len(rows("early"))
    """)
    assert result == [0, 1, 1]


def test_live_samples_tell_address_size_birth_and_label(sampled) -> None:
    result = sampled("""
        sampler.start(1, 16)
        begin = time.time()
        sampler.set_label(3)
        def site():
            return native.allocate(OBJ, 7777)
        address = site()
        sampler.set_label(0)
        [row] = [row for row in rows("site") if row[6] > 7000]
        [sample] = [s for s in sampler.live_samples(row[0], 100) if s[1] == 7777]
        native.release(OBJ, address)
        gone = [s for s in sampler.live_samples(row[0], 100) if s[1] == 7777]
        in_time = begin - 1 < sample[2] < time.time() + 1
        result = sample[0] == address, sample[1], in_time, sample[3], gone
    """)
    assert result == [True, 7777, True, 3, []]


def test_stop_ends_sampling_but_frees_are_still_seen(sampled) -> None:
    result = sampled("""
        sampler.start(1, 16)
        def site():
            return native.hold(OBJ, 100, 100)
        first = site()
        sampler.stop()
        second = site()
        during = live("site")[0]
        native.drop(first)
        after = live("site")[0]
        sampler.start(1, 16)
        third = site()
        result = round(during), after, round(live("site")[0]), sampler.stats()["enabled"]
    """)
    assert result[0] == pytest.approx(100, abs=3)
    assert result[1] < 5
    assert result[2] == pytest.approx(100, abs=5)
    assert result[3] == 1


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        ("sampler.start(0, 16)", "ValueError", "interval must be 1 to"),
        ("sampler.start(1 << 40, 16)", "ValueError", "interval must be 1 to"),
        ("sampler.start(512, 0)", "ValueError", "max_depth must be 1 to 1024"),
        ("sampler.start(512, 4096)", "ValueError", "max_depth must be 1 to 1024"),
        ("sampler.start('512', 16)", "TypeError", ""),
        ("sampler.set_interval(-1)", "ValueError", "interval must be 1 to"),
        ("sampler.set_label(1 << 32)", "OverflowError", "label must fit 32 bits"),
    ],
)
def test_bad_arguments_are_told(sampled, call, error, text) -> None:
    name, message = sampled(f"""
        try:
            {call}
            result = "", ""
        except Exception as problem:
            result = type(problem).__name__, str(problem)
    """)
    assert name == error
    assert text in message


def test_before_the_start_everything_is_empty(sampled) -> None:
    result = sampled("""
        stats = sampler.stats()
        sampler.stop(); sampler.set_interval(100)
        result = [sampler.export(), sampler.live_samples(1, 5), objects_of(1, 5)]
        result += [stats["enabled"], stats["samples"]]
    """)
    assert result == [[], [], [], 0, 0]


def test_a_paused_service_is_sampled_again_at_the_interval_in_force(tmp_path) -> None:
    program = """
        import os, json, heapwatch
        heapwatch.pause(); heapwatch.resume()  # without an agent: nothing
        heapwatch.start(service="shop", sampling_interval=65536, sampling_budget=0.0)
        from heapwatch.door import host
        sampler = host.agent.sampler
        def made():
            return bytearray(5_000_000)
        def seen():
            return sum(row.inuse_bytes for row in sampler.export() if row.frames[0].function == "made")
        first = made()
        sampler.set_interval(131072)
        before = seen()
        heapwatch.pause()
        second = made()
        paused = heapwatch.status()["sampler"]["enabled"], seen() - before
        heapwatch.resume()
        third = made()
        found = heapwatch.status()["sampler"]
        print(json.dumps([before, paused, found["enabled"], found["interval"], seen() - before]))
        heapwatch.stop()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        check=True,
    )
    before, paused, enabled, interval, later = json.loads(done.stdout.splitlines()[-1])
    assert before == pytest.approx(5_000_000, rel=0.001)
    assert paused == [0, 0]
    assert (enabled, interval) == (1, 131072)
    assert later == pytest.approx(5_000_000, rel=0.001)
