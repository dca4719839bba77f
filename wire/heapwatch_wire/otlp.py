"""OTLP metrics (opentelemetry-proto, metrics v1) in protobuf and JSON, with the standard library.

Gauges, monotonic cumulative sums and explicit-bucket cumulative histograms with exemplars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from heapwatch_wire.metric import Metric
from heapwatch_wire.protobuf import Writer

PATH = "/v1/metrics"
CONTENT_TYPE = "application/x-protobuf"
SCOPE = "heapwatch"

_CUMULATIVE = 2

AttributeValue: TypeAlias = str | int | float | bool
Attributes: TypeAlias = Mapping[str, AttributeValue]


@dataclass(frozen=True)
class Number:
    """A point of a gauge, or of a counter since its start."""

    metric: Metric
    value: int | float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Exemplar:
    """A value that a histogram has counted: when (Unix seconds), in which trace and span (hexadecimal)."""

    value: float
    time: float
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Histogram:
    """A point of a histogram since its start: `counts` has one more entry than the metric has buckets.

    `exemplars` by the number of the bucket that they fell into.
    """

    metric: Metric
    counts: tuple[int, ...]
    sum: float
    attributes: Attributes = field(default_factory=dict)
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)


Point: TypeAlias = Number | Histogram


def encode(
    resource: Attributes, points: Iterable[Point], start: float, now: float, version: str = ""
) -> bytes:
    """An ExportMetricsServiceRequest. `start` and `now` in Unix seconds; `version` is the producer's."""
    scope = Writer().message(1, Writer().text(1, SCOPE).text(2, version))
    for group in _by_metric(points):
        scope.message(2, _metric(group, _nanos(start), _nanos(now)))
    attributes = Writer()
    _write_attributes(attributes, 1, resource)
    return bytes(Writer().message(1, Writer().message(1, attributes).message(2, scope)))


def encode_json(
    resource: Attributes, points: Iterable[Point], start: float, now: float, version: str = ""
) -> dict[str, Any]:
    """The same request as OTLP/JSON values (64-bit integers as strings)."""
    metrics = [_metric_json(group, str(_nanos(start)), str(_nanos(now))) for group in _by_metric(points)]
    scope = {"scope": {"name": SCOPE, "version": version}, "metrics": metrics}
    return {
        "resourceMetrics": [{"resource": {"attributes": _attributes_json(resource)}, "scopeMetrics": [scope]}]
    }


def _by_metric(points: Iterable[Point]) -> Iterable[Sequence[Point]]:
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.metric.name, []).append(point)
    return groups.values()


def _nanos(seconds: float) -> int:
    return int(seconds * 1_000_000) * 1000


def _metric(points: Sequence[Point], start: int, now: int) -> Writer:
    metric = points[0].metric
    body = Writer()
    for point in points:
        body.message(1, _point(point, start, now))
    out = Writer().text(1, metric.name).text(2, metric.description).text(3, metric.unit)
    if metric.instrument == "gauge":
        return out.message(5, body)
    if metric.instrument == "counter":
        return out.message(7, body.integer(2, _CUMULATIVE).integer(3, 1))
    return out.message(9, body.integer(2, _CUMULATIVE))


def _point(point: Point, start: int, now: int) -> Writer:
    out = Writer().fixed64(2, start).fixed64(3, now)
    if isinstance(point, Histogram):
        out.fixed64(4, sum(point.counts)).double(5, point.sum, keep=True)
        out.fixed64s(6, point.counts).doubles(7, point.metric.buckets)
        for exemplar in point.exemplars.values():
            out.message(8, _exemplar(exemplar))
        _write_attributes(out, 9, point.attributes)
        return out
    if isinstance(point.value, int):
        out.fixed64(6, point.value, keep=True)
    else:
        out.double(4, point.value, keep=True)
    _write_attributes(out, 7, point.attributes)
    return out


def _exemplar(exemplar: Exemplar) -> Writer:
    out = Writer().fixed64(2, _nanos(exemplar.time)).double(3, exemplar.value, keep=True)
    return out.data(4, bytes.fromhex(exemplar.span_id)).data(5, bytes.fromhex(exemplar.trace_id))


def _write_attributes(out: Writer, number: int, attributes: Attributes) -> None:
    for key, value in attributes.items():
        out.message(number, Writer().text(1, key).message(2, _any_value(value)))


def _any_value(value: AttributeValue) -> Writer:
    if isinstance(value, str):
        return Writer().text(1, value, keep=True)
    if isinstance(value, bool):
        return Writer().integer(2, value, keep=True)
    if isinstance(value, int):
        return Writer().integer(3, value, keep=True)
    return Writer().double(4, value, keep=True)


def _metric_json(points: Sequence[Point], start: str, now: str) -> dict[str, Any]:
    metric = points[0].metric
    body: dict[str, Any] = {"dataPoints": [_point_json(point, start, now) for point in points]}
    if metric.instrument != "gauge":
        body["aggregationTemporality"] = _CUMULATIVE
    if metric.instrument == "counter":
        body["isMonotonic"] = True
    kind = {"gauge": "gauge", "counter": "sum", "histogram": "histogram"}[metric.instrument]
    return {"name": metric.name, "description": metric.description, "unit": metric.unit, kind: body}


def _point_json(point: Point, start: str, now: str) -> dict[str, Any]:
    common = {
        "startTimeUnixNano": start,
        "timeUnixNano": now,
        "attributes": _attributes_json(point.attributes),
    }
    if isinstance(point, Histogram):
        return {
            **common,
            "count": str(sum(point.counts)),
            "sum": _double_json(point.sum),
            "bucketCounts": [str(count) for count in point.counts],
            "explicitBounds": list(point.metric.buckets),
            "exemplars": [_exemplar_json(exemplar) for exemplar in point.exemplars.values()],
        }
    if isinstance(point.value, int):
        return {**common, "asInt": str(point.value)}
    return {**common, "asDouble": _double_json(point.value)}


def _exemplar_json(exemplar: Exemplar) -> dict[str, Any]:
    return {
        "timeUnixNano": str(_nanos(exemplar.time)),
        "asDouble": _double_json(exemplar.value),
        "spanId": exemplar.span_id,
        "traceId": exemplar.trace_id,
    }


def _attributes_json(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value_json(value)} for key, value in attributes.items()]


def _any_value_json(value: AttributeValue) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": _double_json(value)}


def _double_json(value: float) -> float | str:
    """JSON has no number for these three; proto3's mapping names them."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
