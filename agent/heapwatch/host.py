"""The agent in its host process: one at most, through forks, until exit."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from heapwatch_wire.config import load
from heapwatch_wire.settings import AgentSettings

from heapwatch import uwsgi
from heapwatch.agent import Agent
from heapwatch.assembly import Resident, assemble
from heapwatch.failures import logger
from heapwatch.instrument import adapters
from heapwatch.instrument.hook import when_imported
from heapwatch.sampler import OWN_WORK, NullSampler, Sampler, open_sampler
from heapwatch.threads import new_rlock

FORK_LIMIT = 0.05
STOP_LIMIT = 2.5


@dataclass
class Host:
    """Starts and stops the agent of this process. `open_sampler` makes its sampler.

    `waiting`: the agent has no thread before uWSGI has forked.
    """

    open_sampler: Callable[..., Sampler] = open_sampler
    resident: Resident = field(default_factory=Resident)
    agent: Agent | None = None
    waiting: bool = False

    def __post_init__(self) -> None:
        self._lock = new_rlock()
        self._hooked = False
        self._hooked_uwsgi = False
        self._instrumented = False

    def start(self, overrides: dict[str, Any]) -> None:
        """Start the agent unless it runs or is disabled. ConfigError for a setting that can't be used."""
        with self._lock:
            if self.agent is not None:
                return
            settings = load(AgentSettings, "agent", overrides=overrides)
            if settings.enabled:
                uwsgi.check_threads()
                self.waiting = uwsgi.forks_later()
                self._launch(settings)

    def stop(self, limit: float = STOP_LIMIT) -> None:
        """Send what waits and end the agent, within about `limit` seconds; `start` may follow."""
        with self._lock:
            agent, self.agent = self.agent, None
            if agent is None:
                return
            if agent.tuner is not None:
                agent.tuner.stop()
            if agent.defence is not None:
                agent.defence.stop()
            self.resident.gc.remove()
            agent.sampler.stop()
            if not self.waiting:
                agent.stop(limit)
            self.waiting = False
            self.resident.bridges.leave()
            self.resident.requests.reset(NullSampler("stopped", self.resident.labels))

    def _launch(self, settings: AgentSettings) -> None:
        sampler = self.open_sampler(settings.sampling_interval, settings.max_depth, self.resident.labels)
        before = sampler.set_label(self.resident.labels.intern(OWN_WORK))
        try:
            self._launch_with(sampler, settings)
        except BaseException:
            sampler.stop()
            raise
        finally:
            sampler.set_label(before)

    def _launch_with(self, sampler: Sampler, settings: AgentSettings) -> None:
        agent = assemble(settings, sampler, self.resident)
        agent.leave = self.stop
        if sampler.reason:
            logger.warning("heapwatch: no allocations are sampled: %s", sampler.reason)
        self.resident.requests.reset(sampler)
        self.resident.requests.cpu_share = settings.request_cpu
        self.resident.gc.reset()
        self.resident.gc.install()
        if settings.instrument and not self._instrumented:
            self._instrumented = True
            adapters.install(self.resident.requests)
        self._hook_process()
        self.agent = agent
        if self.waiting:
            self._hook_uwsgi()
        else:
            self._run(agent)

    def _run(self, agent: Agent) -> None:
        agent.start()
        if agent.defence is not None:
            agent.defence.start()

    def _hook_uwsgi(self) -> None:
        if not self._hooked_uwsgi:
            self._hooked_uwsgi = True
            uwsgi.after_fork(self._after_uwsgi_forked)

    def _hook_process(self) -> None:
        if not self._hooked:
            self._hooked = True
            atexit.register(self._at_exit)
            when_imported(uwsgi.LIBRARY, lambda module: self._wait_for_uwsgi())
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork_in_parent,
                after_in_child=self._after_fork_in_child,
            )

    def _at_exit(self) -> None:
        agent = self.agent
        if agent is not None:
            with agent.failures.guard("exit"):
                self.stop()

    def _before_fork(self) -> None:
        # The thread may be inside the C library, some of whose locks (the resolver's) a fork leaves taken
        # in the child: let it end first, unless it is busy for longer.
        with self._lock:
            if self.agent is not None:
                self.agent.pause(FORK_LIMIT)

    def _after_fork_in_parent(self) -> None:
        with self._lock:
            if self.agent is not None and not self.waiting:
                self.agent.start()

    def _after_fork_in_child(self) -> None:
        forked = time.time()
        # The parent's locks may be taken for ever in this copy: everything that has one is made anew.
        self._lock = new_rlock()
        self.waiting = False
        self.resident.controls.restore()
        parent, self.agent = self.agent, None
        if parent is None:
            return
        with parent.failures.guard("fork"):
            self.resident.requests.reset(parent.sampler)
            self.resident.gc.reset()
            if parent.defence is not None:
                parent.defence.forget()
            settings = replace(parent.settings, service=parent.identity.service)
            if parent.tuner is not None:
                settings = replace(settings, gc_tuner=parent.tuner.mode)
                if parent.tuner.freezes_children:
                    self.resident.controls.freeze()
            self.agent = assemble(settings, parent.sampler, self.resident, forked)
            self.agent.leave = self.stop
            self._run(self.agent)

    def _wait_for_uwsgi(self) -> None:
        with self._lock:
            agent = self.agent
            if agent is not None and not self.waiting:
                self.stop()
                uwsgi.wait_alone(STOP_LIMIT)
                self.waiting = True
                self._launch(agent.settings)

    def _after_uwsgi_forked(self) -> None:
        agent = self.agent
        if agent is None or not self.waiting:
            return
        try:
            uwsgi.check_threads()
        except RuntimeError as error:
            logger.warning("heapwatch: not started, the service goes on: %s", error)
            self.stop()
            return
        if agent.identity.pid != os.getpid():
            self._after_fork_in_child()
            return
        self.waiting = False
        with agent.failures.guard("start"):
            self._run(agent)
