"""Puts an agent together from its parts: the only place that knows all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heapwatch_wire.settings import AgentSettings

from heapwatch.agent import Agent
from heapwatch.allocators import Malloc, Pymalloc, find_malloc
from heapwatch.bridges.bridges import Bridges
from heapwatch.budget import LOOK, SamplingBudget
from heapwatch.cgroup import CgroupReader
from heapwatch.control.server import ControlServer
from heapwatch.delivery import Courier
from heapwatch.dice import Random
from heapwatch.failures import Failures
from heapwatch.gcstats import GcStats
from heapwatch.gctuner.controls import Controls
from heapwatch.gctuner.model import Limits
from heapwatch.gctuner.pressure import Pressure
from heapwatch.gctuner.tuner import WINDOW, Tuner
from heapwatch.hookwatch import LOOK as HOOKS_LOOK
from heapwatch.hookwatch import HookWatch
from heapwatch.identity import identify
from heapwatch.instrument.requests import Requests
from heapwatch.leaks.census import Count
from heapwatch.leaks.native import EVERY as NATIVE_LOOK
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.leaks.types import Types
from heapwatch.memory.own import OwnMemory
from heapwatch.phases import Phases
from heapwatch.process import ProcessReader
from heapwatch.pusher import Pusher
from heapwatch.sampler import Labels, NullSampler, Sampler
from heapwatch.telemetry import Telemetry

if TYPE_CHECKING:
    from heapwatch.defence.defence import Defence

FIRST_PUSH = 1.0
RETRY_CHECK = 1.0
LEAKS_SLICE = 0.25
GC_SLICE = 0.1
CENSUS_LOOK = 5.0
SETTLE = 15.0
FORK_DELAY = 0.3
LAST_PUSH_LIMIT = 1.5


@dataclass(frozen=True)
class Resident:
    """What outlives an agent: the interpreter or the framework calls it, or a child must not make it anew.

    The allocators' readers look up C functions, and another thread may be in the loader when a process forks;
    pymalloc's must also be made before the sampler's hooks are.
    """

    labels: Labels = field(default_factory=Labels)
    gc: GcStats = field(default_factory=GcStats)
    malloc: Malloc = field(default_factory=find_malloc)
    pymalloc: Pymalloc = field(default_factory=Pymalloc)
    phases: Phases = field(default_factory=Phases)
    requests: Requests = field(default_factory=lambda: Requests(NullSampler("not started")))
    controls: Controls = field(default_factory=Controls)
    bridges: Bridges = field(default_factory=Bridges)
    on_pressure: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gc.running = self.requests.in_flight.running
        self.requests.gc = self.gc


def assemble(settings: AgentSettings, sampler: Sampler, resident: Resident, forked: float = 0.0) -> Agent:
    """An agent that isn't started yet. `forked` is the Unix time at which this process came with `sampler`
    from one with an agent, else 0.

    Raises ConfigError when `settings.collector` is no address.
    """
    failures = Failures()
    courier = Courier(settings, failures) if settings.collector else None
    identity = identify(settings)
    leaks = LeakTracker(sampler, settings, identity)
    memory = OwnMemory(resident.malloc, resident.pymalloc, sampler)
    tuner = _tuner(settings, sampler, resident, failures)
    agent = Agent(settings, identity, sampler, leaks, failures, courier, memory, tuner, resident.phases)
    agent.requests = resident.requests
    resident.phases.high_water = sampler.high_water
    agent.forked = forked
    if settings.defence != "off":
        agent.defence = _defence(agent, resident)
    control = ControlServer(agent)
    # A child may be about to execute another program: wait, or the socket would stay behind.
    agent.once("control", lambda: _start_control(control), delay=FORK_DELAY if forked else 0.0)
    agent.every(LEAKS_SLICE, "leaks", leaks.observe, first=LEAKS_SLICE)
    agent.every(NATIVE_LOOK, "native growth", agent.native.observe, first=NATIVE_LOOK)
    if settings.sampling_budget > 0:
        budget = SamplingBudget(sampler, settings.sampling_budget, settings.sampling_interval)
        agent.every(LOOK, "sampling budget", budget.look, first=LOOK)
    agent.every(HOOKS_LOOK, "sampler's hooks", HookWatch(sampler).look, first=HOOKS_LOOK)
    agent.every(GC_SLICE, "gc tuner", tuner.tick, first=GC_SLICE)
    agent.at_stop("control", control.stop)
    agent.every(SETTLE, "endpoints", lambda now: resident.requests.settle(), first=SETTLE)
    if settings.bridges == "on" or (settings.bridges == "auto" and courier is None):
        resident.bridges.join(agent, _telemetry(agent, resident, tuner), resident.requests)
    if courier is not None:
        _schedule_pushes(agent, courier, _telemetry(agent, resident, tuner, _types(agent)))
    return agent


def _start_control(control: ControlServer) -> None:
    try:
        control.start()
    except RuntimeError:
        # A short program is at its end, where Python (3.12 and later) starts no more threads.
        if threading.main_thread().is_alive():
            raise


def _defence(agent: Agent, resident: Resident) -> Defence | None:
    # Loaded where it is switched on: a process without it doesn't pay for its modules.
    from heapwatch.defence.assembly import make_defence

    try:
        return make_defence(agent, resident.requests, resident.on_pressure)
    except OSError as error:
        agent.failures.caught("defence", error)
        return None


def _tuner(settings: AgentSettings, sampler: Sampler, resident: Resident, failures: Failures) -> Tuner:
    process = ProcessReader()
    tuner = Tuner(
        settings.gc_tuner,
        Limits(settings.gc_uncollected, settings.gc_delay),
        settings.gc_warmup,
        resident.gc,
        resident.controls,
        resident.requests.in_flight,
        sampler,
        Pressure(CgroupReader().memory),
        failures,
        rss=lambda: process.resident().rss,
        shared=process.shared,
        window=min(WINDOW, max(1.0, settings.gc_warmup)),
    )
    tuner.start()
    return tuner


def _telemetry(
    agent: Agent, resident: Resident, tuner: Tuner, types: Callable[[], Mapping[str, Count]] = dict
) -> Telemetry:
    return Telemetry(
        process=ProcessReader(),
        memory=agent.breakdown,
        cgroup=CgroupReader(),
        gc=resident.gc,
        tuner=tuner,
        sampler=agent.sampler,
        requests=resident.requests,
        phases=resident.phases,
        failures=agent.failures,
        started=agent.identity.started,
        courier=agent.courier,
        defence=agent.defence,
        types=types,
    )


def _types(agent: Agent) -> Callable[[], Mapping[str, Count]]:
    """The largest types as counted from now on; none where that is switched off or can't be."""
    if not agent.settings.census or agent.sampler.reason:
        return dict
    types = Types(agent.settings.census)
    agent.every(CENSUS_LOOK, "census", types.observe, first=CENSUS_LOOK)
    return types.counts


def _schedule_pushes(agent: Agent, courier: Courier, telemetry: Telemetry) -> None:
    pusher = Pusher(
        agent.identity, agent.profiles, telemetry, agent.leaks, agent.outside, courier, agent.failures
    )
    # Processes that start together, as workers do, don't push together.
    first = FIRST_PUSH + min(1.0, agent.settings.push_interval) * Random().random()
    agent.every(agent.settings.push_interval, "push", pusher.push, first)
    agent.every(RETRY_CHECK, "delivery", lambda now: courier.deliver(), RETRY_CHECK)
    agent.at_stop("push", lambda: pusher.push_last(LAST_PUSH_LIMIT))
