"""Analyses on their way to the collector."""

from __future__ import annotations

from heapwatch_wire.analysis import Analysis

from .client import Collector, CollectorError, Unavailable

MOST = 256
"""Service versions whose analyses wait; then the one that waits longest is given up."""


class Outbox:
    """Keeps analyses until `collector` has taken them: of each service version the latest only."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._waiting: dict[tuple[str, str], Analysis] = {}

    def add(self, analysis: Analysis) -> None:
        """Let `analysis` wait, in place of an older one of its service version."""
        key = (analysis.service, analysis.version)
        self._waiting.pop(key, None)
        self._waiting[key] = analysis
        while len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]

    def send(self) -> list[str]:
        """Publish what waits; why some were refused, which are given up. Raises Unavailable; what isn't
        published then waits on."""
        refusals = []
        for key, analysis in list(self._waiting.items()):
            try:
                self._collector.publish(analysis)
            except Unavailable:
                raise
            except CollectorError as error:
                refusals.append(str(error))
            del self._waiting[key]
        return refusals
