"""Each of our own requests for memory fails in turn: the host goes on, and what is lost is counted."""

from __future__ import annotations

import pytest

FAULTS = """
import ctypes
table = (ctypes.c_int64 * 6).in_dll(ctypes.CDLL(sampler.__file__), "heapwatch_faults")
MAP, POOL, LOCK = 0, 1, 2
NEVER = 2**62
def arm(kind, succeed, fail):
    table[3 + kind] = fail
    table[kind] = succeed
def failed(kind, fail):
    "How many requests were refused."
    table[kind] = NEVER
    return fail - max(0, table[3 + kind])
class Node:
    def __init__(self, rest):
        self.rest, self.text = rest, str(id(self)) * 3
def work(rounds=3):
    kept = []
    for i in range(rounds):
        chain = None
        for _ in range(150):
            chain = Node(chain)
        kept.append((chain, [bytearray(n) for n in range(0, 4000, 97)], {n: str(n) for n in range(300)}))
    code = "def made(n):\\n return [object() for _ in range(n)]\\nkept = made(50)"
    for i in range(12):
        exec(compile(code, f"<template {i}>", "exec"), {})
    native.raw_storm(2, 3000)
    return len(kept)
def look():
    "Everything that is shown; how often there was no memory for it."
    errors = 0
    stack = 1
    def attempt(call):
        nonlocal errors
        try:
            return call()
        except MemoryError:
            errors += 1
    exported = attempt(sampler.export) or []
    stack = exported[0][0] if exported else 1
    for call in (
        lambda: sampler.totals(True),
        lambda: sampler.levels(0),
        lambda: sampler.profile({}),
        lambda: sampler.profile({}, take=True),
        lambda: sampler.profile({}, peak=True),
        lambda: sampler.lifetimes(),
        lambda: sampler.lifetimes([stack]),
        lambda: sampler.live_samples(stack, 100),
        lambda: objects_of(stack, 10),
        lambda: sampler.frames(stack),
        lambda: sampler.kept(),
        lambda: sampler.stats(),
    ):
        attempt(call)
    return errors
def sound():
    "Whether the figures still agree with each other."
    gc.collect()
    exported = sampler.export()
    stats = sampler.stats()
    total = sum(row[6] for row in exported)
    assert all(row[5] >= -1e-6 and row[6] >= -1e-6 for row in exported), exported
    assert abs(total - stats["live_bytes"]) <= 0.02 * stats["live_bytes"] + 100_000, (total, stats)
    assert stats["hooks_intact"] == 1
    return True
"""


@pytest.mark.parametrize("run", ["1", "NEVER"], ids=["one fails", "all fail from there"])
def test_each_mapping_may_be_refused_at_the_start(sampled, run) -> None:
    reasons = sampled(
        f"""
        {FAULTS.replace(chr(10), chr(10) + "        ")}
        reasons = []
        for n in range(60):
            reader, writer = os.pipe()
            if os.fork() == 0:
                said = "crash"
                try:
                    arm(MAP, n, {run})
                    try:
                        sampler.start(64, 32)
                        said = ""
                    except RuntimeError as error:
                        said = str(error)
                    work()
                    refused = failed(MAP, {run})
                    sampler.start(64, 32)  # there is memory again
                    work()
                    assert sound() and sampler.stats()["samples"] > 100
                    os.write(writer, json.dumps([said, refused]).encode())
                finally:
                    os._exit(0)
            os.close(writer)
            os.wait()
            reasons.append(json.loads(os.read(reader, 10_000) or b'["crash", 0]'))
            if not reasons[-1][1]:
                break
        result = reasons
        """,
        faulty=True,
    )
    assert len(reasons) > 10
    assert not [said for said, _ in reasons if said and "no memory" not in said]
    assert "no memory" in reasons[0][0]
    assert reasons[-1] == ["", 0]


@pytest.mark.parametrize("kind", ["MAP", "POOL", "LOCK"])
@pytest.mark.parametrize("run", ["1", "3", "NEVER"])
def test_each_request_may_be_refused_later(sampled, kind, run) -> None:
    """The host runs on; afterwards the figures agree with each other, and samples are taken again."""
    result = sampled(
        f"""
        {FAULTS.replace(chr(10), chr(10) + "        ")}
        sampler.start(512, 32)
        work(); look()
        refused, errors, losses, steps = [], 0, set(), []
        step = 1 if {kind} == MAP else 17
        for n in range(0, 25 * step, step):
            before = sampler.stats()
            arm({kind}, n, {run})
            work()
            errors += look()
            refused.append(failed({kind}, {run}))
            after = sampler.stats()
            losses |= {{key for key in after if key.startswith("dropped_") and after[key] > before[key]}}
            before = after["samples"]
            work()
            assert sound() and sampler.stats()["samples"] > before, n
        result = sum(map(bool, refused)), errors, sorted(losses)
        """,
        faulty=True,
    )
    refused, errors, losses = result
    assert refused > 5
    if kind == "MAP":
        assert errors > 0
    if kind == "POOL":
        assert "dropped_table_full" in losses or "dropped_stacks" in losses
    if kind == "LOCK":
        assert "dropped_interrupted" in losses


@pytest.mark.parametrize(
    "call",
    [
        "sampler.start(4096, 32)",
        "sampler.export()",
        "sampler.totals(True)",
        "sampler.levels(0)",
        "sampler.profile({}, take=True)",
        "sampler.profile({3: 'GET /'}, peak=True)",
        "sampler.lifetimes()",
        "sampler.lifetimes([stack])",
        "sampler.live_samples(stack, 50)",
        "sampler.kept()",
        "walk = sampler.Walk([stack], 10); walk.objects(0.1)",
        "sampler.Walk().referrers([kept], 0.1)",
        "sampler.Walk().census(1, 0.1)",
        "sampler.frames(stack)",
        "sampler.stats()",
        "sampler.set_interval(512)",
        "sampler.watch_arrays(None)",
    ],
)
def test_python_may_be_out_of_memory_anywhere(sampled, call) -> None:
    """Each allocation that a call makes fails once, by CPython's own means."""
    pytest.importorskip("_testcapi")
    outcomes = sampled(f"""
        import _testcapi
        sampler.start(512, 32)
        def site():
            return [str(i) * 10 for i in range(3000)], [bytearray(3000) for _ in range(100)]
        sampler.set_label(3)
        kept = site()
        sampler.set_label(0)
        stack = (rows("<listcomp>") + rows("site"))[0][0]
        outcomes = {{}}
        for n in range(1, 150):
            for several in (False, True):
                outcome = "done"
                _testcapi.set_nomemory(n, 0 if several else n + 1)
                try:
                    {call}
                except MemoryError:
                    outcome = "no memory"
                except SystemError as error:
                    outcome = repr(error)
                finally:
                    _testcapi.remove_mem_hooks()
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert sampler.stats()["hooks_intact"] == 1
        kept = site()
        sampler.export()
        result = outcomes
    """)
    assert set(outcomes) <= {"done", "no memory"}


def test_a_signal_handler_may_allocate_amid_a_change_of_the_tables(sampled) -> None:
    handled, stats = sampled("""
        def mapped_code(path):
            "First address of the library's instructions and the one behind the last."
            with open("/proc/self/maps") as maps:
                line = next(line for line in maps if path in line and " r-xp " in line)
            return [int(address, 16) for address in line.split()[0].split("-")]
        code = mapped_code(sampler.__file__)
        native.allocate_in_signals(50, *code)
        sampler.start(16, 64)
        until = time.monotonic() + 1.5
        while time.monotonic() < until or native.allocate_in_signals(50, *code) <= 300:
            kept = [[str(i) * 5 for i in range(300)], [bytearray(1000) for _ in range(30)]]
            sampler.export()
            sampler.lifetimes()
        handled = native.allocate_in_signals(0, *code)
        result = handled, sampler.stats()
    """)
    assert handled > 300
    assert stats["dropped_interrupted"] > 0
    assert stats["hooks_intact"] == 1
    assert stats["dropped_displaced"] == 0


def test_threads_with_little_stack_are_sampled_as_deep_as_they_are(sampled) -> None:
    depth, deepest = sampled("""
        threading.stack_size(64 << 10)
        sampler.start(1, 1024)
        sys.setrecursionlimit(3000)
        def down(n):
            return down(n - 1) if n else [str(i) * 20 for i in range(50)]
        kept = []
        threads = [threading.Thread(target=lambda: kept.append(down(900))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result = len(kept), max(len(row[1]) for row in sampler.export())
    """)
    assert depth == 4
    assert deepest > 900
