"""Profiles that the extension makes: each allocation once, whatever gets lost and goes on meanwhile."""

from __future__ import annotations

import base64

import pytest
from heapwatch_wire import pprof

READER = """
import base64
def read(message):
    return base64.b64encode(memoryview(message)).decode()
"""


def decoded(text: str) -> pprof.Profile:
    return pprof.decode(base64.b64decode(text))


def values(text: str, function: str) -> list[int]:
    """Sums of the samples whose stack begins with the function."""
    found = [sample.values for sample in decoded(text).samples if sample.stack[0].function == function]
    return [sum(column) for column in zip(*found, strict=True)] if found else [0, 0, 0, 0]


def test_a_profile_says_what_the_rows_say(sampled) -> None:
    text, rows, own = sampled(
        READER
        + """
sampler.start(256, 4)
def site(depth):
    return bytearray(20_000) if depth else site(depth)
def deep(depth):
    return bytearray(30_000) if not depth else deep(depth - 1)
kept = [[site(1) for _ in range(10)], deep(9)]
sampler.set_label(7)
kept.append(site(1))
sampler.set_label(8)
kept.append(bytearray(5_000))
sampler.set_label(0)
message, taken, own = sampler.profile({7: "GET /é"}, 8)
rows = [row for row in sampler.export() if row[1][0][0] in ("site", "deep")]
result = read(message), rows, own
"""
    )
    profile = decoded(text)
    found = {}
    for sample in profile.samples:
        if sample.stack[0].function in ("site", "deep"):
            found[sample.stack, sample.labels] = sample.values
    expected = {}
    for _, frames, truncated, label, thread, *figures in rows:
        stack = tuple(pprof.Frame(*frame) for frame in frames)
        stack += (pprof.Frame("(truncated)", "", 0),) if truncated else ()
        labels = ((("endpoint", "GET /é"),) if label == 7 else ()) + (("thread", thread),)
        expected[stack, labels] = tuple(round(figures[i]) for i in (2, 3, 0, 1))
    assert found == expected
    assert len(found) == 3
    assert own == pytest.approx(5_000, rel=0.2)
    assert (profile.sample_types, profile.period) == (pprof.MEMORY_SAMPLE_TYPES, 256)
    assert (profile.period_type, profile.default_sample_type) == (("space", "bytes"), "inuse_space")


def test_taken_allocations_come_once_and_again_when_they_are_given_back(sampled) -> None:
    texts = sampled(
        READER
        + """
sampler.start(1, 8)
def site(size):
    return bytearray(size)
def take():
    message, taken, own = sampler.profile({}, 0, True)
    return read(message), taken
kept = site(10_000)
first, _ = take()
kept = site(20_000)
second, lost = take()
kept = site(40_000)
sampler.give_back(lost)
third, _ = take()
fourth, _ = take()
whole = read(sampler.profile({})[0])
result = first, second, third, fourth, whole
"""
    )
    first, second, third, fourth, whole = (values(text, "site")[1::2] for text in texts)
    assert first == pytest.approx([10_000, 10_000], rel=0.02)
    assert second == pytest.approx([20_000, 20_000], rel=0.02)
    assert third == pytest.approx([60_000, 40_000], rel=0.02)
    assert fourth == pytest.approx([0, 40_000], rel=0.02)
    assert whole == pytest.approx([70_000, 40_000], rel=0.02)


def test_what_no_profile_gave_cannot_be_given_back(sampled) -> None:
    result = sampled("""
        sampler.start(1, 8)
        kept = bytearray(1000)
        try:
            sampler.give_back(b"nonsense")
        except ValueError as error:
            result = str(error)
        sampler.give_back(bytes(range(24)))  # of a row that never was
    """)
    assert "what profile returned" in result


@pytest.mark.parametrize("small", [False, True], ids=["ample", "crowded"])
@pytest.mark.parametrize("seed", range(3))
def test_slices_sum_to_the_whole_while_allocations_and_threads_come_and_go(sampled, seed, small) -> None:
    """Each profile is of one moment and made in slices; together they carry every allocation exactly once."""
    parts, summed, kept, taken_rows = sampled(
        READER
        + f"""
import random
space = {{}}
exec("".join(f"def f{{i}}(n):\\n    return bytearray(n)\\n" for i in range(1500)), space)
sites = [space[f"f{{i}}"] for i in range(1500)]
def churn(seed, count):
    chance, kept = random.Random(seed), {{}}
    for i in range(count):
        sampler.set_label(chance.randrange(4))
        kept[chance.randrange(300)] = chance.choice(sites)(chance.randrange(1, 3000))
def work(number):
    while True:
        churn(number, 400)
        if stop or number % 2:
            return
parts, lost, stop, taken_rows = [], None, False, 0
def take():
    global lost, taken_rows
    if lost is not None:
        sampler.give_back(lost)
        lost = None
    message, taken, own = sampler.profile({{}}, 0, True)
    taken_rows += len(taken) // 24
    if random.random() < 0.3:
        lost = taken
    else:
        parts.append(read(message))
random.seed({seed})
sampler.start(64, 16)
threads = [threading.Thread(target=work, args=(n,)) for n in (0, 2, 4)]
for thread in threads:
    thread.start()
for i in range(10):
    extra = threading.Thread(target=work, args=(2 * i + 1,))
    extra.start()
    take()
    sampler.totals()
    extra.join()
stop = True
for thread in threads:
    thread.join()
sampler.stop()
if lost is not None:
    sampler.give_back(lost)
message, taken, own = sampler.profile({{}}, 0, True)
taken_rows += len(taken) // 24
parts.append(read(message))
rows, _ = sampler.totals()
stats = sampler.stats()
summed = [sum(row[i] for row in rows) for i in (5, 6)]
result = parts, summed, [stats["allocations"], stats["allocated_bytes"]], taken_rows
""",
        small=small,
    )
    assert summed == pytest.approx(kept, rel=1e-6)
    profiles = [decoded(part) for part in parts]
    carried = [sum(s.values[i] for p in profiles for s in p.samples) for i in (0, 1)]
    # What a row says is rounded to whole numbers each time that it is taken, and the rest is carried on.
    assert carried == pytest.approx(kept, abs=taken_rows / 2 + 1)
    assert carried[1] == pytest.approx(kept[1], rel=1e-3)


def test_other_threads_run_while_a_large_profile_is_made(sampled) -> None:
    """Made in one go it would keep them from running all the while."""
    most = sampled("""
        sys.setswitchinterval(1000)  # who has the interpreter keeps it until it lets go by itself
        space = {}
        exec("".join(f"def f{i}():\\n    return bytearray(600)\\n" for i in range(20_000)), space)
        sampler.start(1, 64)
        kept = [space[f"f{i}"]() for i in range(20_000)]
        sampler.set_interval(1 << 30)
        def watch():
            global turns
            while not done:
                time.sleep(0)
                turns += 1
        turns, rounds = 0, []
        for _ in range(5):
            done = False
            watcher = threading.Thread(target=watch)
            watcher.start()
            time.sleep(0.01)
            before = turns
            sampler.export()
            rounds.append(turns - before)
            done = True
            watcher.join()
        result = max(rounds)
    """)
    assert most > 5, "turns of the other thread in the best of five exports"


def test_what_profiles_took_makes_room_and_stays_counted(sampled) -> None:
    """Stacks of the past don't pile up: their rows are used again, and what they had allocated is one row."""
    before, after, rows, past, total = sampled("""
        space = {}
        exec("".join(f"def f{i}():\\n    return bytearray(900)\\n" for i in range(30_000)), space)
        sites = [space[f"f{i}"] for i in range(30_000)]
        def burst(number):
            for site in sites[5000 * number : 5000 * (number + 1)]:
                site()
            sampler.profile({}, 0, True)
        sampler.start(64, 32)
        burst(0)
        before = sampler.stats()["own_bytes"]
        for number in range(1, 6):
            burst(number)
        found = sampler.totals()[0]
        past = sum(row[6] for row in found if sampler.frames(row[0])[0][0] == "[earlier stacks]")
        result = before, sampler.stats()["own_bytes"], len(found), past, sampler.stats()["allocated_bytes"]
    """)
    assert after <= before * 1.2
    assert rows < 2500
    assert 30_000 * 900 < past < total


def test_a_child_forked_in_the_middle_of_an_export_exports_and_tidies(sampled) -> None:
    codes, rows = sampled("""
        space = {}
        exec("".join(f"def f{i}():\\n    return bytearray(600)\\n" for i in range(6000)), space)
        sampler.start(1, 16)
        kept = [space[f"f{i}"]() for i in range(6000)]
        sampler.set_interval(4096)
        done = False
        def export():
            while not done:
                sampler.profile({}, 0, True)
        threads = [threading.Thread(target=export) for _ in range(2)]
        for thread in threads:
            thread.start()
        codes = []
        for _ in range(15):
            child = os.fork()
            if not child:
                sampler.profile({}, 0, True)
                kept.clear()
                sampler.profile({}, 0, True)
                os._exit(0 if len(sampler.totals()[0]) < 3000 else 1)
            codes.append(os.waitpid(child, 0)[1])
        done = True
        for thread in threads:
            thread.join()
        result = codes, len(sampler.totals()[0])
    """)
    assert codes == [0] * 15
    assert rows >= 6000
