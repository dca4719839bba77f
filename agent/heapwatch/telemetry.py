"""The agent's metrics: every row of the table whose source is the agent, read when a delivery is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Histogram, Number, Point

from heapwatch.allocators import fragmentation
from heapwatch.cgroup import CgroupReader
from heapwatch.delivery import Courier
from heapwatch.failures import Failures
from heapwatch.gcstats import GcShare, GcStats
from heapwatch.gctuner.points import gc_points
from heapwatch.gctuner.tuner import Tuner
from heapwatch.instrument.points import live_points, request_points
from heapwatch.instrument.requests import Requests
from heapwatch.leaks.census import Count
from heapwatch.loading import own_memory
from heapwatch.memory.breakdown import Breakdown
from heapwatch.memory.mappings import Pages
from heapwatch.phases import Phases
from heapwatch.process import ProcessReader
from heapwatch.sampler import Sampler
from heapwatch.stalls import MACHINE, Stalls, read_stalls

if TYPE_CHECKING:
    from heapwatch.defence.defence import Defence

_SAMPLER_METRICS = {
    "live_bytes": "heapwatch.heap.live",
    "live_objects": "heapwatch.heap.live_objects",
    "allocated_bytes": "heapwatch.heap.allocated",
    "allocations": "heapwatch.heap.allocations",
    "interval": "heapwatch.sampler.interval",
    "interval_changes": "heapwatch.sampler.interval_changes",
    "samples": "heapwatch.sampler.samples",
    "live_samples": "heapwatch.sampler.live_samples",
    "rewraps": "heapwatch.sampler.displacements",
    "own_bytes": "heapwatch.sampler.memory",
}
_DROPPED = "dropped_"


@dataclass
class Telemetry:
    """Everything that is measured, for one reader: some metrics are about the time since it read before.

    `started` is the process's start in Unix seconds; no courier, no queue; no defence, nothing of
    it. `memory` is a callable since its cost grows with the process.
    """

    process: ProcessReader
    memory: Callable[[], Breakdown | None]
    cgroup: CgroupReader
    gc: GcStats
    tuner: Tuner
    sampler: Sampler
    requests: Requests
    phases: Phases
    failures: Failures
    started: float
    courier: Courier | None = None
    defence: Defence | None = None
    types: Callable[[], Mapping[str, Count]] = dict
    machine_stalls: Path = MACHINE

    def __post_init__(self) -> None:
        self._gc_share = GcShare(self.gc)
        self._peaks = self.phases.peaks()

    def points(self) -> list[Point]:
        """A point of each metric that this machine can tell.

        Costs about a millisecond, and what `memory` costs: that is what `Costly` is for.
        """
        return [
            *self._process(),
            *self._container(),
            *self._machine(),
            *gc_points(self.gc, self.tuner, self._gc_share()),
            *self._memory(),
            *self._sampler(),
            *self._agent(),
            *self._requests(),
            *self._phases(),
            *(self.defence.points() if self.defence is not None else ()),
            *self._types(),
        ]

    def _process(self) -> Iterator[Point]:
        status = self.process.status()
        yield _number("process.memory.usage", status.rss)
        yield _number("process.memory.virtual", status.virtual)
        yield _number("heapwatch.process.memory.peak", status.peak)
        yield _number("heapwatch.process.memory.swap", status.swap)
        yield _number("process.cpu.time", status.cpu_user, **{"cpu.mode": "user"})
        yield _number("process.cpu.time", status.cpu_system, **{"cpu.mode": "system"})
        yield _number("process.thread.count", status.threads)
        yield _number("process.unix.file_descriptor.count", status.descriptors)
        yield _number("process.uptime", time.time() - self.started)

    def _container(self) -> Iterator[Point]:
        memory = self.cgroup.memory()
        if memory is None:
            return
        yield _number("container.memory.usage", memory.usage)
        yield _number("container.memory.working_set", memory.working_set)
        if memory.limit is not None:
            yield _number("heapwatch.container.memory.limit", memory.limit)
        if memory.peak is not None:
            yield _number("heapwatch.container.memory.peak", memory.peak)
        yield from _counts("heapwatch.container.memory.events", "heapwatch.event", memory.events)
        yield from _stalls("container", memory.stalls)

    def _machine(self) -> Iterator[Point]:
        yield from _stalls("machine", read_stalls(self.machine_stalls))

    def _memory(self) -> Iterator[Point]:
        memory = self.memory()
        if memory is None:
            return
        if memory.mappings:
            total = sum(memory.mappings.values(), Pages())
            yield _number("heapwatch.process.memory.pss", total.pss)
            yield _number("heapwatch.process.memory.private", total.private)
            yield _number("heapwatch.process.memory.shared", total.shared)
            yield _number("heapwatch.memory.trimmable", memory.trimmable)
        yield from _counts("heapwatch.memory.part", "heapwatch.part", memory.parts)
        for kind, pages in memory.mappings.items():
            yield from _pages(kind, pages)
        yield from self._allocators(memory)

    def _allocators(self, memory: Breakdown) -> Iterator[Point]:
        pymalloc, malloc = memory.pymalloc, memory.malloc
        if pymalloc is not None:
            yield _number("heapwatch.pymalloc.arenas", pymalloc.held)
            yield _number("heapwatch.pymalloc.used", pymalloc.used)
        if malloc is not None:
            yield _number("heapwatch.malloc.arenas", malloc.held + malloc.mapped)
        if malloc is not None and malloc.total is not None:
            yield _number("heapwatch.malloc.used", malloc.total.used)
        unused = fragmentation(pymalloc.total if pymalloc else None, malloc.total if malloc else None)
        if unused is not None:
            yield _number("heapwatch.memory.fragmentation", unused)

    def _sampler(self) -> Iterator[Point]:
        stats = self.sampler.stats()
        for key, name in _SAMPLER_METRICS.items():
            if key in stats:
                yield _number(name, stats[key])
        if "hooks_intact" in stats:
            yield _number("heapwatch.sampler.displaced", int(not stats["hooks_intact"]))
        dropped = {key.removeprefix(_DROPPED): n for key, n in stats.items() if key.startswith(_DROPPED)}
        yield from _counts("heapwatch.sampler.dropped", "heapwatch.reason", dropped)

    def _agent(self) -> Iterator[Point]:
        yield _number("heapwatch.agent.memory", own_memory(self.sampler))
        yield from _counts("heapwatch.agent.errors", "heapwatch.reason", dict(self.failures.counts))
        if self.courier is not None:
            yield _number("heapwatch.agent.queue", len(self.courier))
            yield from _counts("heapwatch.agent.dropped", "heapwatch.reason", dict(self.courier.dropped))

    def _requests(self) -> Iterator[Point]:
        totals = self.requests.totals()
        yield _number("heapwatch.process.workers", 0 if totals else self.process.forked_children())
        yield from request_points(totals)
        yield from live_points(self.sampler)

    def _phases(self) -> Iterator[Point]:
        metric = BY_NAME["heapwatch.phase.duration"]
        for name, (runs, peak) in self.phases.deliver(self._peaks).items():
            attributes = {"heapwatch.phase": name}
            yield Histogram(metric, tuple(runs.counts), runs.seconds, attributes)
            yield _number("heapwatch.phase.peak", peak, **attributes)
            yield _number("heapwatch.phase.growth", runs.growth, **attributes)

    def _types(self) -> Iterator[Point]:
        for name, counted in self.types().items():
            yield _number("heapwatch.type.memory", round(counted.bytes), **{"heapwatch.type": name})
            yield _number("heapwatch.type.objects", round(counted.objects), **{"heapwatch.type": name})


def _number(name: str, value: int | float, **attributes: str) -> Number:
    return Number(BY_NAME[name], value, attributes)


def _stalls(of: str, stalls: Stalls | None) -> Iterator[Point]:
    if stalls is None:
        return
    for tasks, seconds in (("some", stalls.some_seconds), ("full", stalls.full_seconds)):
        if seconds is not None:
            yield _number(
                "heapwatch.memory.stall.time", seconds, **{"heapwatch.stall.of": of, "heapwatch.stall": tasks}
            )


def _pages(kind: str, pages: Pages) -> Iterator[Point]:
    for sharing, state, size in (
        ("shared", "clean", pages.shared_clean),
        ("shared", "dirty", pages.shared_dirty),
        ("private", "clean", pages.private_clean),
        ("private", "dirty", pages.private_dirty),
    ):
        attributes = {"heapwatch.mapping": kind, "heapwatch.sharing": sharing, "heapwatch.state": state}
        yield _number("heapwatch.memory.pages", size, **attributes)


def _counts(name: str, attribute: str, counts: Mapping[str, int | float]) -> Iterator[Point]:
    for value, count in counts.items():
        yield _number(name, count, **{attribute: value})
