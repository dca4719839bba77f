"""OTLP metrics as the opentelemetry-proto classes read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from heapwatch_wire import otlp
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Histogram, Number
from hypothesis import given
from hypothesis import strategies as st

RESOURCE = {"service.name": "shop", "process.pid": 7}
RSS = BY_NAME["process.memory.usage"]
CPU = BY_NAME["process.cpu.time"]
PAUSE = BY_NAME["heapwatch.gc.pause"]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
attributes = st.dictionaries(
    text, st.one_of(text, st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False))
)
int64 = st.integers(-(1 << 63), (1 << 63) - 1)
points = st.one_of(
    st.builds(Number, st.sampled_from([RSS, CPU]), st.one_of(int64, st.floats(allow_nan=False)), attributes),
    st.builds(
        Histogram,
        st.just(PAUSE),
        st.lists(st.integers(0, 1 << 40), min_size=14, max_size=14).map(tuple),
        st.floats(0, 1e9),
        attributes,
    ),
)


@pytest.fixture(scope="module")
def request_class() -> Any:
    service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    return service.ExportMetricsServiceRequest


def test_each_instrument_has_its_shape(request_class: Any) -> None:
    counts = (1, *[0] * 12, 2)
    sent = [Number(RSS, 512), Number(CPU, 1.5, {"cpu.mode": "user"}), Histogram(PAUSE, counts, 0.0)]
    message = request_class.FromString(otlp.encode(RESOURCE, sent, start=10.0, now=20.5, version="1"))
    [resource] = message.resource_metrics
    assert {
        a.key: a.value.string_value or a.value.int_value for a in resource.resource.attributes
    } == RESOURCE
    [scope] = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("heapwatch", "1")
    rss, cpu, pause = scope.metrics
    assert (rss.name, rss.unit, rss.gauge.data_points[0].as_int) == ("process.memory.usage", "By", 512)
    assert (cpu.sum.is_monotonic, cpu.sum.aggregation_temporality) == (True, 2)
    assert cpu.sum.data_points[0].start_time_unix_nano == 10_000_000_000
    assert cpu.sum.data_points[0].time_unix_nano == 20_500_000_000
    [point] = pause.histogram.data_points
    assert (point.count, tuple(point.bucket_counts), point.HasField("sum")) == (3, counts, True)
    assert tuple(point.explicit_bounds) == PAUSE.buckets


@given(st.lists(points, max_size=6))
def test_json_and_protobuf_say_the_same(request_class: Any, sent: list[otlp.Point]) -> None:
    json_format = pytest.importorskip("google.protobuf.json_format")
    binary = request_class.FromString(otlp.encode(RESOURCE, sent, 1.0, 2.0))
    values = json.loads(json.dumps(otlp.encode_json(RESOURCE, sent, 1.0, 2.0)))
    assert json_format.ParseDict(values, request_class()) == binary


def test_points_of_a_metric_stay_together(request_class: Any) -> None:
    sent = [Number(CPU, 1.0, {"cpu.mode": "user"}), Number(RSS, 1), Number(CPU, 2.0, {"cpu.mode": "system"})]
    message = request_class.FromString(otlp.encode(RESOURCE, sent, 1.0, 2.0))
    metrics = message.resource_metrics[0].scope_metrics[0].metrics
    assert [(m.name, len(m.gauge.data_points or m.sum.data_points)) for m in metrics] == [
        ("process.cpu.time", 2),
        ("process.memory.usage", 1),
    ]
