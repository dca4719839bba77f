"""Through the host's OpenTelemetry MeterProvider: gauges and counters when it asks, histograms request by
request.

OpenTelemetry's histograms take single measurements. Those of requests are handed over by the background
thread, in the context of the request's span, so that the SDK can attach exemplars; those of collections as
they were. Phases, which the agent keeps as buckets only, are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from heapwatch_wire.metric import Metric
from heapwatch_wire.metrics import METRICS
from heapwatch_wire.otlp import Number

from heapwatch.bridges.readings import Readings
from heapwatch.gcstats import GcStats
from heapwatch.instrument.distribution import Trace
from heapwatch.instrument.endpoints import Ended, Endpoint
from heapwatch.instrument.points import duration_attributes
from heapwatch.instrument.requests import Requests

LOOK_EVERY = 1.0
SCOPE = "heapwatch"
_API, _SDK = "opentelemetry.metrics", "opentelemetry.sdk.metrics"

_OF_REQUESTS: dict[str, Callable[[Ended], float | None]] = {
    "heapwatch.endpoint.allocated": lambda ended: ended.allocated,
    "heapwatch.endpoint.peak": lambda ended: ended.peak,
    "heapwatch.endpoint.gc.pause": lambda ended: ended.gc_seconds,
    "heapwatch.endpoint.cpu": lambda ended: ended.cpu,
    "heapwatch.endpoint.queries": lambda ended: ended.queries,
}


class MeterBridge:
    """Attaches to the provider once the host has one; `readings` is None while there is no agent."""

    def __init__(self) -> None:
        self.readings: Readings | None = None
        self._histograms: dict[str, Any] = {}
        self._last_pause = 0.0
        self._provider: Any = None

    def look(self, requests: Requests, gc: GcStats) -> None:
        """Attach if the host has a provider by now, and hand over what happened since last time."""
        if self._provider is None and not self._attach():
            return
        observed = requests.observe()
        while observed:
            self._hand_over(*observed.popleft())
        self._hand_over_pauses(gc)

    def _attach(self) -> bool:
        """False while there is no provider but the API's own, which forwards nothing."""
        if _SDK not in sys.modules:
            return False
        provider = sys.modules[_API].get_meter_provider()
        if type(provider).__module__.startswith(_API):
            return False
        self._provider = provider
        meter = provider.get_meter(SCOPE)
        for metric in METRICS:
            if metric.source == "agent":
                self._create(meter, metric)
        return True

    def _create(self, meter: Any, metric: Metric) -> None:
        said = {"unit": metric.unit, "description": metric.description}
        if metric.instrument == "gauge":
            meter.create_observable_gauge(metric.name, [self._observer(metric.name)], **said)
        elif metric.instrument == "counter":
            meter.create_observable_counter(metric.name, [self._observer(metric.name)], **said)
        else:
            buckets = {"explicit_bucket_boundaries_advisory": metric.buckets}
            self._histograms[metric.name] = meter.create_histogram(metric.name, **said, **buckets)

    def _observer(self, name: str) -> Callable[[Any], Iterator[Any]]:
        observation = sys.modules[_API].Observation

        def observe(options: Any) -> Iterator[Any]:
            for point in self.readings.of(name) if self.readings is not None else ():
                if isinstance(point, Number):
                    yield observation(point.value, dict(point.attributes))

        return observe

    def _hand_over(self, endpoint: Endpoint, ended: Ended) -> None:
        context = None if ended.trace is None else _context(ended.trace)
        name, attributes = duration_attributes(endpoint, ended.outcome)
        self._histograms[name].record(ended.seconds, attributes, context)
        for name, value_of in _OF_REQUESTS.items():
            value = value_of(ended)
            if value is not None:
                self._histograms[name].record(value, {"heapwatch.endpoint": endpoint.name}, context)

    def _hand_over_pauses(self, gc: GcStats) -> None:
        newest = self._last_pause
        for pause in gc.recent():
            if pause.time <= self._last_pause:
                break
            newest = max(newest, pause.time)
            generation = {"cpython.gc.generation": str(pause.generation)}
            self._histograms["heapwatch.gc.pause"].record(pause.seconds, generation)
            place = {"heapwatch.gc.place": "inside" if pause.inside else "outside"}
            self._histograms["heapwatch.gc.request.pause"].record(pause.seconds, place)
        self._last_pause = newest


def _context(trace: Trace) -> Any:
    """A context whose current span is the one of `trace`, which was sampled."""
    api = sys.modules["opentelemetry.trace"]
    flags = api.TraceFlags(api.TraceFlags.SAMPLED)
    span = api.SpanContext(
        int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=False, trace_flags=flags
    )
    return api.set_span_in_context(api.NonRecordingSpan(span))
