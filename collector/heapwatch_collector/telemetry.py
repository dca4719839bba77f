"""The collector about itself: requests taken and refused, bytes waiting, time of commits."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client as prometheus
from heapwatch_wire.metric import label
from heapwatch_wire.metrics import BY_NAME

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]


class Telemetry:
    """Counters named as in the metric table, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._received = self._counter("heapwatch.collector.received")
        self._rejected = self._counter("heapwatch.collector.rejected")
        self._pending = prometheus.Gauge(*_named("heapwatch.collector.pending"), registry=self.registry)
        commit = "heapwatch.collector.commit.duration"
        self._commit = prometheus.Histogram(
            *_named(commit), buckets=BY_NAME[commit].buckets, registry=self.registry
        )

    def received(self, signal: str) -> None:
        self._received.labels(signal).inc()

    def rejected(self, signal: str, status: int) -> None:
        self._rejected.labels(signal, str(status)).inc()

    def commit(self, seconds: float) -> None:
        self._commit.observe(seconds)

    def watch_pending(self, pending: Callable[[], float]) -> None:
        """Show what `pending` gives, in bytes, at each scrape."""
        self._pending.set_function(pending)

    def _counter(self, name: str) -> prometheus.Counter:
        labels = [label(a) for a in BY_NAME[name].attributes]
        return prometheus.Counter(*_named(name), labels, registry=self.registry)


def _named(name: str) -> tuple[str, str]:
    return BY_NAME[name].prometheus, BY_NAME[name].description
