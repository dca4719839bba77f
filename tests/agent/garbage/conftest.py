"""A tuner whose clock, memory and pressure the test sets."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from heapwatch.failures import Failures
from heapwatch.gcstats import GcStats
from heapwatch.gctuner.controls import Controls
from heapwatch.gctuner.model import Limits
from heapwatch.gctuner.tuner import Tuner
from heapwatch.instrument.inflight import InFlight
from heapwatch.sampler import Labels, NullSampler


@dataclass
class World:
    """Everything around a tuner; `now` and `rss` are what the test says."""

    now: float = 1000.0
    rss: int = 200 << 20
    shared: int = 0
    pressure: str = ""
    in_flight: InFlight = field(default_factory=InFlight)
    stats: GcStats = field(default_factory=GcStats)
    controls: Controls = field(default_factory=Controls)
    failures: Failures = field(default_factory=Failures)

    def __post_init__(self) -> None:
        self.stats.running = self.in_flight.running

    def tuner(self, mode: str, warmup: float = 0.0) -> Tuner:
        tuner = Tuner(
            mode,
            Limits(uncollected=16 << 20, delay=60.0),
            warmup,
            self.stats,
            self.controls,
            self.in_flight,
            NullSampler("scripted", Labels()),
            lambda: self.pressure,
            self.failures,
            rss=lambda: self.rss,
            shared=lambda: self.shared,
            window=10.0,
            clock=lambda: self.now,
        )
        tuner.start()
        return tuner

    def pass_time(self, tuner: Tuner, seconds: float) -> None:
        """Tick each second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            tuner.tick(self.now)

    def serve(self, requests: int = 1, garbage: int = 500) -> None:
        """Requests, one after the other, that each leave cycles behind."""
        for _ in range(requests):
            number = self.in_flight.enter()
            litter(garbage)
            self.in_flight.leave(number, self.now)
            self.in_flight.boundary()

    def acting(self, warmup: float = 0.0) -> Tuner:
        """A tuner that has seen requests and acts."""
        tuner = self.tuner("act", warmup)
        for _ in range(12 + int(warmup)):
            self.serve(2)
            self.pass_time(tuner, 1)
        assert tuner.acting
        return tuner


def litter(cycles: int) -> None:
    """Garbage that only a collection frees."""
    for _ in range(cycles):
        cycle: list[object] = []
        cycle.append(cycle)


@pytest.fixture
def world() -> Iterator[World]:
    before = gc.get_threshold()
    gc.collect()
    world = World()
    world.stats.install()
    yield world
    world.in_flight.on_boundary = None
    world.stats.remove()
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*before)
