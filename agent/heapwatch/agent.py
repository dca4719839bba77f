"""The agent of one process: what it knows and its one background thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heapwatch_wire.evidence import Evidence
from heapwatch_wire.settings import AgentSettings

from heapwatch.failures import Failures
from heapwatch.identity import Identity
from heapwatch.sampler import Sampler

THREAD_NAME = "heapwatch"


class LeakTracker(Protocol):
    """Watches allocation sites for growth. Made as `LeakTracker(sampler, settings, identity)`."""

    def observe(self, now: float) -> None:
        """Look at the sampler; called from the background thread, `now` in Unix seconds."""

    def documents(self) -> list[Evidence]:
        """The suspicions so far, with types and holder chains."""
        ...


class ControlServer(Protocol):
    """Answers the command line. Made as `ControlServer(agent)`; `start` returns at once."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


@dataclass
class _Task:
    name: str
    interval: float
    run: Callable[[float], None]
    due: float


class Agent:
    """Calls registered tasks from one daemon thread; a task that fails is counted and called again.

    `settings`, `identity`, `sampler`, `failures` and `leaks` are there for whoever plugs in.
    """

    def __init__(
        self, settings: AgentSettings, identity: Identity, sampler: Sampler, leaks: LeakTracker
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.sampler = sampler
        self.leaks = leaks
        self.failures = Failures()
        self._tasks: list[_Task] = []
        self._openers: list[tuple[str, Callable[[], None]]] = []
        self._closers: list[tuple[str, Callable[[], None]]] = []
        self._turn = threading.Lock()
        self._halt = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def every(self, interval: float, name: str, task: Callable[[float], None], first: float = 0.0) -> None:
        """Call `task(now)`, Unix seconds, `first` seconds after now and then every `interval` seconds."""
        self._tasks.append(_Task(name, interval, task, time.monotonic() + first))

    def at_start(self, name: str, action: Callable[[], None]) -> None:
        """Call `action()` from the background thread when it starts."""
        self._openers.append((name, action))

    def at_stop(self, name: str, action: Callable[[], None]) -> None:
        """Call `action()` from the background thread when the agent stops; the last registered goes first."""
        self._closers.append((name, action))

    @property
    def running(self) -> bool:
        """Whether the background thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, delay: float = 0.0) -> None:
        """Start the thread; it does nothing for `delay` seconds."""
        self._halt = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._halt, delay), name=THREAD_NAME, daemon=True
        )
        self._thread.start()

    def pause(self, limit: float) -> None:
        """Ask the thread to end, without the closing actions, and wait for it at most `limit` seconds."""
        self._halt.set()
        if self._thread is not None:
            self._thread.join(limit)

    def stop(self, limit: float) -> None:
        """End the thread after its closing actions; returns after at most `limit` seconds."""
        self._closing = True
        self.pause(limit)

    def _run(self, halt: threading.Event, delay: float) -> None:
        wait = delay
        while not halt.wait(wait):
            with self._turn:
                self._open()
                self._run_due(halt)
            wait = self._time_to_next()
        if self._closing:
            with self._turn:
                self._close()

    def _open(self) -> None:
        while self._openers:
            name, action = self._openers.pop(0)
            with self.failures.guard(name):
                action()

    def _run_due(self, halt: threading.Event) -> None:
        for task in self._tasks:
            if halt.is_set():
                return
            if task.due <= time.monotonic():
                with self.failures.guard(task.name):
                    task.run(time.time())
                task.due = max(task.due + task.interval, time.monotonic())

    def _time_to_next(self) -> float:
        if not self._tasks:
            return 60.0
        return max(0.0, min(task.due for task in self._tasks) - time.monotonic())

    def _close(self) -> None:
        while self._closers:
            name, action = self._closers.pop()
            with self.failures.guard(name):
                action()
