"""The agent of one process: what it knows and its one background thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from heapwatch_wire.settings import AgentSettings

from heapwatch.allocators import Pymalloc, find_malloc
from heapwatch.costly import Costly
from heapwatch.delivery import Courier
from heapwatch.failures import Failures
from heapwatch.gctuner.tuner import Tuner
from heapwatch.identity import Identity
from heapwatch.instrument.requests import Requests
from heapwatch.leaks.native import NativeWatch
from heapwatch.leaks.outside import Outside
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.loading import own_memory
from heapwatch.memory.own import OwnMemory
from heapwatch.phases import Phases
from heapwatch.profiles import Profiles
from heapwatch.sampler import OWN_WORK, Sampler
from heapwatch.threads import BackgroundThread, Signal, new_lock

if TYPE_CHECKING:
    from heapwatch.defence.defence import Defence

LONGEST_WAIT = 3600.0
LEAVE_LIMIT = 2.5


@dataclass
class _Task:
    name: str
    interval: float
    run: Callable[[float], None]
    due: float


class Agent:
    """Calls registered tasks from one daemon thread; a task that fails is counted and called again.

    What the thread allocates is labelled OWN_WORK, so that it can be told from the service's.

    Whoever plugs in finds `settings`, `identity`, `sampler`, `profiles`, `leaks`, `memory`, `phases` and
    `failures`; `breakdown` is that of `memory`, as new as its cost allows. `courier` is None without a
    collector, `tuner` where nobody tunes the garbage collector, `requests` where none are measured, `defence`
    where it is off and nobody has asked for a drain.
    `leave` ends the agent for good, as its host does it. `forked` is the Unix time at which this process
    began as a copy of one with an agent, else 0; at `began` the agent did.
    """

    def __init__(
        self,
        settings: AgentSettings,
        identity: Identity,
        sampler: Sampler,
        leaks: LeakTracker,
        failures: Failures,
        courier: Courier | None = None,
        memory: OwnMemory | None = None,
        tuner: Tuner | None = None,
        phases: Phases | None = None,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.sampler = sampler
        self.profiles = Profiles(sampler)
        self.leaks = leaks
        self.failures = failures
        self.courier = courier
        self.phases = phases or Phases()
        self.memory = memory or OwnMemory(find_malloc(), Pymalloc(), sampler)
        self.breakdown = Costly(self.memory.breakdown)
        self.native = NativeWatch(self.breakdown, sampler)
        self.outside = Outside(self.native, identity)
        self.tuner = tuner
        self.leave: Callable[[], None] = lambda: self.stop(LEAVE_LIMIT)
        self.began = time.time()
        self.forked = 0.0
        self.requests: Requests | None = None
        self.defence: Defence | None = None
        self._tasks: list[_Task] = []
        self._closers: list[tuple[str, Callable[[], None]]] = []
        self._turn = new_lock()
        self._closing = False
        self._thread: BackgroundThread | None = None

    def every(self, interval: float, name: str, task: Callable[[float], None], first: float = 0.0) -> None:
        """Call `task(now)`, Unix seconds, `first` seconds after now and then every `interval` seconds."""
        self._tasks.append(_Task(name, interval, task, time.monotonic() + first))

    def once(self, name: str, action: Callable[[], None], delay: float = 0.0) -> None:
        """Call `action()` from the background thread, `delay` seconds after now."""
        self.every(math.inf, name, lambda now: action(), delay)

    def at_stop(self, name: str, action: Callable[[], None]) -> None:
        """Call `action()` from the background thread when the agent stops; the last registered goes first."""
        self._closers.append((name, action))

    @property
    def running(self) -> bool:
        """Whether the background thread lives and is not asked to end."""
        thread = self._thread
        return thread is not None and thread.alive and not thread.halt.is_set()

    def status(self) -> dict[str, Any]:
        """What the agent says about itself, as JSON values; times in Unix seconds, sizes in bytes."""
        courier = self.courier
        return {
            **asdict(self.identity),
            "running": self.running,
            "sampler": {"reason": self.sampler.reason, **self.sampler.stats()},
            "collector": {
                "address": self.settings.collector,
                "waiting": 0 if courier is None else len(courier),
                "delivered": 0 if courier is None else courier.delivered,
                "dropped": {} if courier is None else dict(courier.dropped),
            },
            "memory": own_memory(self.sampler),
            "defence": {"mode": "off"} if self.defence is None else self.defence.status(),
            "errors": dict(self.failures.counts),
        }

    def start(self) -> None:
        """Start the thread, unless it runs. One that was asked to end and is still busy is succeeded."""
        if not self.running:
            self._thread = BackgroundThread(self._run)

    def pause(self, limit: float) -> None:
        """Ask the thread to end, without the closing actions, and wait for it at most `limit` seconds."""
        if self._thread is not None:
            self._thread.halt.set()
            self._thread.join(limit)

    def stop(self, limit: float) -> None:
        """End the thread after its closing actions; returns after at most `limit` seconds."""
        self._closing = True
        self.start()
        self.pause(limit)

    def _run(self, halt: Signal) -> None:
        self.sampler.set_label(self.sampler.labels.intern(OWN_WORK))
        wait = 0.0
        while not halt.wait(wait):
            with self._turn:
                self._run_due(halt)
            wait = self._time_to_next()
        if self._closing:
            with self._turn:
                self._close()

    def _run_due(self, halt: Signal) -> None:
        for task in self._tasks:
            if halt.is_set():
                return
            if task.due <= time.monotonic():
                with self.failures.guard(task.name):
                    task.run(time.time())
                task.due = max(task.due + task.interval, time.monotonic())

    def _time_to_next(self) -> float:
        next_due = min((task.due for task in self._tasks), default=math.inf)
        return min(max(0.0, next_due - time.monotonic()), LONGEST_WAIT)

    def _close(self) -> None:
        while self._closers:
            name, action = self._closers.pop()
            with self.failures.guard(name):
                action()
