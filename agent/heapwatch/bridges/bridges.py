"""Joins an agent to the host's own metrics libraries, if it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heapwatch.agent import Agent
from heapwatch.instrument.hook import when_imported
from heapwatch.instrument.requests import Requests
from heapwatch.telemetry import Telemetry

if TYPE_CHECKING:
    from heapwatch.bridges.opentelemetry import MeterBridge
    from heapwatch.bridges.prometheus import Page


@dataclass
class Bridges:
    """What stands on the host's registry and provider for good; a forked child's agent takes it over."""

    page: Page | None = None
    meters: MeterBridge | None = None

    def join(self, agent: Agent, telemetry: Telemetry, requests: Requests) -> None:
        """Show what `telemetry` tells from now on."""
        # Here and not above: a process that pushes to a collector needn't have them in memory.
        from heapwatch.bridges import opentelemetry, prometheus
        from heapwatch.bridges.readings import Readings

        readings = Readings(telemetry.points, agent.failures)
        if self.page is None or self.meters is None:
            self.page, self.meters = prometheus.Page(), opentelemetry.MeterBridge()
            when_imported(prometheus.MODULE, self.page.register)
        meters = self.meters
        self.page.readings = meters.readings = readings
        files = prometheus.Files(readings)
        agent.every(prometheus.WRITE_EVERY, "prometheus", lambda now: files.write())
        agent.at_stop("prometheus", lambda: files.write(age=0.0))
        every = opentelemetry.LOOK_EVERY
        agent.every(every, "opentelemetry", lambda now: meters.look(requests, telemetry.gc))
        agent.at_stop("opentelemetry", lambda: meters.look(requests, telemetry.gc))

    def leave(self) -> None:
        """There is no agent any more."""
        if self.page is not None and self.meters is not None:
            self.page.readings = self.meters.readings = None
