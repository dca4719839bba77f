"""The sampling interval follows the budget, and not every gust."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from heapwatch.budget import LARGEST_INTERVAL, PATIENCE_DOWN, PATIENCE_UP, SamplingBudget
from heapwatch.samplecost import measure_sample

SMALLEST = 65536
SHARE = 0.01
COST = 1e-6


class World:
    """A sampler whose service allocates `bytes_per_second` in small blocks, on a clock of its own."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.time = 0.0
        self.measured = 0
        self.bytes_per_second = 0.0
        sampler.statistics = {"interval": SMALLEST, "samples": 0, "interval_doublings": 0}
        self.budget = SamplingBudget(sampler, SHARE, SMALLEST, self.cost, lambda: self.time)

    def cost(self) -> float:
        self.measured += 1
        return COST

    def run(self, seconds: int) -> int:
        """Let the service run, with a look each second; the interval then."""
        for _ in range(seconds):
            self.time += 1
            self.sampler.statistics["samples"] += self.bytes_per_second / self.interval
            self.budget.look(self.time)
        return self.interval

    @property
    def interval(self) -> int:
        return int(self.sampler.statistics["interval"])

    @property
    def used(self) -> float:
        return self.bytes_per_second / self.interval * COST


@pytest.fixture
def world(sampler: Any) -> World:
    return World(sampler)


def test_a_quiet_service_keeps_the_interval_and_nothing_is_measured(world: World) -> None:
    world.bytes_per_second = 400 * SMALLEST
    assert world.run(60) == SMALLEST
    assert world.measured == 0


def test_a_storm_widens_the_interval_until_the_budget_holds(world: World) -> None:
    world.bytes_per_second = 7 * SHARE / COST * SMALLEST
    assert world.run(PATIENCE_UP) == 8 * SMALLEST
    assert world.used <= SHARE
    assert world.run(120) == 8 * SMALLEST
    assert world.measured == 1


def test_a_pause_leaves_the_interval_alone(world: World) -> None:
    world.bytes_per_second = 10e9
    before = world.run(60)
    world.sampler.statistics["enabled"] = 0
    world.bytes_per_second = 0.0
    assert world.run(600) == before
    world.sampler.statistics["enabled"] = 1
    world.bytes_per_second = 10e9
    assert world.run(60) == before


def test_one_gust_changes_nothing(world: World) -> None:
    for _ in range(10):
        world.bytes_per_second = 3 * SHARE / COST * SMALLEST
        world.run(1)
        world.bytes_per_second = 0.0
        assert world.run(PATIENCE_DOWN) == SMALLEST


def test_calm_brings_the_interval_back_step_by_step(world: World) -> None:
    world.bytes_per_second = 7 * SHARE / COST * SMALLEST
    world.run(10)
    world.bytes_per_second = 0.0
    assert world.run(PATIENCE_DOWN - 1) == 8 * SMALLEST
    assert world.run(1) == 4 * SMALLEST
    assert world.run(2 * PATIENCE_DOWN) == SMALLEST
    assert world.run(100) == SMALLEST


@pytest.mark.parametrize("load", [0.3, 0.76, 1.01, 1.5, 2.1, 3.9])
def test_a_steady_load_settles(world: World, load: float) -> None:
    world.bytes_per_second = load * SHARE / COST * SMALLEST
    settled = world.run(30)
    assert world.used <= SHARE
    assert all(world.run(1) == settled for _ in range(100))


def test_the_interval_has_an_end(world: World) -> None:
    world.bytes_per_second = 1e18
    assert world.run(10) == LARGEST_INTERVAL


def test_a_table_that_was_full_stays_at_the_interval_that_the_sampler_chose(world: World) -> None:
    world.sampler.statistics["interval"] = 4 * SMALLEST
    world.sampler.statistics["interval_doublings"] = 2
    assert world.run(100) == 4 * SMALLEST


def test_a_change_is_logged_for_those_who_debug(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.bytes_per_second = 3 * SHARE / COST * SMALLEST
    with caplog.at_level(logging.DEBUG, "heapwatch"):
        world.run(PATIENCE_UP)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "from 65536 to 262144 bytes" in record.message


def test_the_interval_is_back_after_a_measurement_even_when_it_fails() -> None:
    intervals: list[int] = []

    def broken() -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_sample(intervals.append, broken, 4096)
    assert intervals[-1] == 4096


STORM = """
import json, sys, time
import heapwatch
heapwatch.start(service="storm", sampling_interval=1024, sampling_budget=0.001, runtime_dir=sys.argv[1])
keep = [bytearray(1000) for _ in range(20_000)]
ends = time.monotonic() + 100
while True:
    for _ in range(2000):
        [bytes(900) for _ in range(10)]
    stats = heapwatch.status()["sampler"]
    if stats["interval"] > 1024 or time.monotonic() > ends:
        break
stats["kept"] = sum(map(sys.getsizeof, keep))
print(json.dumps(stats))
"""


@pytest.mark.integration
def test_a_storm_of_allocations_in_a_real_process(tmp_path: Any) -> None:
    command = [sys.executable, "-c", STORM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    stats = json.loads(done.stdout)
    assert stats["reason"] == ""
    assert stats["interval"] >= 2048
    assert stats["interval_changes"] >= 1
    assert stats["live_bytes"] == pytest.approx(stats["kept"], rel=0.2)
