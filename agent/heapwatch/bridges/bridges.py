"""Joins an agent to the host's own metrics libraries, if it has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from heapwatch.agent import Agent
from heapwatch.bridges import opentelemetry, prometheus
from heapwatch.bridges.readings import Readings
from heapwatch.instrument.hook import when_imported
from heapwatch.instrument.requests import Requests
from heapwatch.telemetry import Telemetry


@dataclass
class Bridges:
    """What stands on the host's registry and provider for good; a forked child's agent takes it over."""

    page: prometheus.Page = field(default_factory=prometheus.Page)
    meters: opentelemetry.MeterBridge = field(default_factory=opentelemetry.MeterBridge)
    _registered: bool = False

    def join(self, agent: Agent, telemetry: Telemetry, requests: Requests) -> None:
        """Show what `telemetry` tells from now on."""
        readings = Readings(telemetry.points, agent.failures)
        self.page.readings = self.meters.readings = readings
        files = prometheus.Files(readings)
        agent.every(prometheus.WRITE_EVERY, "prometheus", lambda now: files.write())
        agent.at_stop("prometheus", lambda: files.write(age=0.0))
        every = opentelemetry.LOOK_EVERY
        agent.every(every, "opentelemetry", lambda now: self.meters.look(requests, telemetry.gc))
        agent.at_stop("opentelemetry", lambda: self.meters.look(requests, telemetry.gc))
        if not self._registered:
            self._registered = True
            when_imported(prometheus.MODULE, self.page.register)

    def leave(self) -> None:
        """There is no agent any more."""
        self.page.readings = self.meters.readings = None
