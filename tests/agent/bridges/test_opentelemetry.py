"""The host's MeterProvider gets the agent's metrics, with exemplars of the host's spans."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.bridges.opentelemetry import MeterBridge
from heapwatch.gcstats import GcStats
from heapwatch.instrument.distribution import Trace
from heapwatch.instrument.requests import Requests
from heapwatch.sampler import Labels, NullSampler
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Number

if TYPE_CHECKING:
    from conftest import Script

pytest.importorskip("opentelemetry.sdk.metrics")

TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a provider that the host has just configured."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(sys.modules["opentelemetry.metrics"], "get_meter_provider", lambda: provider)
    yield reader
    provider.shutdown()


def points(reader: Any) -> dict[str, list[Any]]:
    """Data points by metric name."""
    data = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
    return {metric.name: list(metric.data.data_points) for metric in metrics}


@pytest.fixture
def requests() -> Requests:
    return Requests(NullSampler("scripted", Labels()))


def test_nothing_happens_while_the_host_has_no_provider(requests: Requests) -> None:
    MeterBridge().look(requests, GcStats())
    assert requests.observations is None


def test_gauges_and_counters_are_there_when_the_provider_asks(
    reader: Any, script: Script, requests: Requests
) -> None:
    bridge = MeterBridge()
    bridge.readings = script.readings
    script.points = [
        Number(BY_NAME["process.memory.usage"], 5 << 20),
        Number(BY_NAME["heapwatch.endpoint.retained"], 7.5, {"heapwatch.endpoint": "GET /p"}),
    ]
    bridge.look(requests, GcStats())
    found = points(reader)
    assert [p.value for p in found["process.memory.usage"]] == [5 << 20]
    [retained] = found["heapwatch.endpoint.retained"]
    assert (retained.value, dict(retained.attributes)) == (7.5, {"heapwatch.endpoint": "GET /p"})
    bridge.readings = None
    assert "process.memory.usage" not in points(reader)


def test_requests_and_collections_arrive_one_by_one_with_the_spans_they_belong_to(
    reader: Any, script: Script, requests: Requests
) -> None:
    bridge, stats = MeterBridge(), GcStats()
    bridge.readings = script.readings
    bridge.look(requests, stats)
    stats.install()
    try:
        gc.collect()
    finally:
        stats.remove()
    for status in ("200", "503"):
        request = requests.begin("GET")
        request.matched("/p/<int:id>")
        request.started(status, TRACE)
        request.end()
    requests.begin_task("task resize").end()
    for _ in range(2):
        bridge.look(requests, stats)
    found = points(reader)
    durations = {p.attributes["http.response.status_code"]: p for p in found["http.server.request.duration"]}
    assert {status: p.count for status, p in durations.items()} == {"200": 1, "503": 1}
    assert durations["200"].explicit_bounds == BY_NAME["http.server.request.duration"].buckets
    [exemplar] = durations["200"].exemplars
    assert (f"{exemplar.trace_id:032x}", f"{exemplar.span_id:016x}") == TRACE
    allocated = {p.attributes["heapwatch.endpoint"]: p for p in found["heapwatch.endpoint.allocated"]}
    assert allocated["GET /p/<int:id>"].count == 2
    assert allocated["GET /p/<int:id>"].exemplars
    assert not allocated["task resize"].exemplars
    assert sum(p.count for p in found["heapwatch.gc.pause"]) == 1
