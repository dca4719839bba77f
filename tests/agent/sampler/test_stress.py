"""All at once: threads, forks, collections at every chance, reallocs, rates, exports, storms without the GIL.

HEAPWATCH_STRESS_SECONDS makes each of them longer.
"""

from __future__ import annotations

import os

import pytest

SECONDS = float(os.environ.get("HEAPWATCH_STRESS_SECONDS", "2"))

STRESS = """
import random, traceback
{setup}
until = time.monotonic() + {seconds}
failures = []

class Knot:
    def __init__(self):
        self.me, self.items, self.table = self, [self], {{"x": self}}
    def __del__(self):
        [i for i in range(10)]

def churn(chance):
    kept = [Knot() if i % 10 == 0 else str(i) * chance.randrange(50) for i in range(chance.randrange(2000))]
    buffer = bytearray()
    for _ in range(chance.randrange(300)):
        buffer += b"x" * chance.randrange(3000)
    code = "def f(n):\\n return [object() for _ in range(n)]\\nkept = f(200)"
    exec(compile(code, f"<template {{chance.randrange(10**6)}}>", "exec"), {{}})
    def down(n):
        return down(n - 1) if n else [bytes(100) for _ in range(50)]
    down(chance.randrange(300))

def coroutines(chance):
    async def inner():
        return [i for i in range(100)]
    def generate():
        for i in range(100):
            yield str(i) * 10
    list(generate())
    try:
        inner().send(None)
    except StopIteration:
        pass

def short_threads(chance):
    thread = threading.Thread(target=lambda: [str(i) for i in range(1000)])
    thread.start()
    thread.join()

def storm(chance):
    native.raw_storm(3, 20_000)

def c_storm(chance):
    native.c_storm(3, 20_000)

def reallocs(chance):
    native.release(OBJ, native.grow(OBJ, tuple(chance.randrange(1, 2000) for _ in range(30))))
    native.release(MEM, native.grow(MEM, tuple(chance.randrange(1, 200_000) for _ in range(3))))

def control(chance):
    sampler.set_interval(chance.choice([1, 64, 256, 4096, 65536, 1 << 20]))
    sampler.set_label(chance.randrange(5))
    exported = sampler.export()
    keys = [(row[0], row[3], row[4]) for row in exported]
    assert len(keys) == len(set(keys))
    assert all(row[5] >= 0 and row[6] >= 0 for row in exported)
    assert sampler.stats()["hooks_intact"] == 1
    for row in chance.sample(exported, min(5, len(exported))):
        [type(item).__name__ for item in objects_of(row[0], 20)]
        sampler.live_samples(row[0], 10)
    if chance.random() < 0.2:
        sampler.stop()
        sampler.start(256, chance.choice([1, 10, 1024]))

def forks(chance):
    pid = os.fork()
    if pid == 0:
        try:
            kept = [str(i) for i in range(3000)]
            sampler.export(); sampler.stats()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0

def forever(work):
    chance = random.Random()
    try:
        while time.monotonic() < until:
            work(chance)
    except BaseException:
        failures.append(traceback.format_exc())

sampler.start(256, 128)
threads = [threading.Thread(target=forever, args=(work,)) for work in ({works})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
result = failures, sampler.stats()
"""

WORKS = "churn, churn, coroutines, short_threads, storm, reallocs, control, forks"
if "libasan" in os.environ.get("HEAPWATCH_TEST_RUNNER", ""):
    # AddressSanitizer's allocator isn't made safe for fork: a child waits for a lock that a storm held.
    WORKS = WORKS.removesuffix(", forks")


@pytest.mark.parametrize(("small", "allocator"), [(False, "default"), (True, "default"), (False, "debug")])
def test_the_host_survives_native_mode(sampled, preloaded, small, allocator) -> None:
    failures, stats = sampled(
        STRESS.format(setup="", seconds=SECONDS, works=f"c_storm, c_storm, {WORKS}"),
        small=small,
        options=["-W", "ignore::DeprecationWarning"],
        env={**preloaded, "PYTHONMALLOC": allocator},
    )
    assert failures == []
    assert stats["native"] == 1
    assert stats["samples"] > 1000
    assert (stats["dropped_displaced"], stats["dropped_interrupted"]) == (0, 0)


@pytest.mark.parametrize(
    ("setup", "works", "environment", "small"),
    [
        pytest.param("", WORKS, {}, False, id="all"),
        pytest.param("gc.set_threshold(1)", WORKS, {}, False, id="collecting at every chance"),
        pytest.param("", WORKS, {}, True, id="full tables"),
        pytest.param("", WORKS, {"PYTHONMALLOC": "debug"}, False, id="debug allocator"),
        pytest.param("", WORKS, {"PYTHONMALLOC": "malloc"}, False, id="C allocator"),
        pytest.param(
            "import tracemalloc; tracemalloc.start(3)",
            "churn, storm, reallocs, control",
            {},
            False,
            id="tracemalloc",
        ),
    ],
)
def test_the_host_survives(sampled, setup, works, environment, small) -> None:
    failures, stats = sampled(
        STRESS.format(setup=setup, seconds=SECONDS, works=works),
        small=small,
        options=["-W", "ignore::DeprecationWarning"],
        env=environment,
    )
    assert failures == []
    assert stats["samples"] > 1000
    assert stats["dropped_displaced"] == 0
    if not small:
        assert stats["dropped_table_full"] == 0
