"""OTLP metrics into points.

Gauges, cumulative sums and cumulative explicit histograms are kept. What can't be (delta temporality,
exponential histograms, summaries) is refused by data point, as OTLP's partial success asks.
"""

from __future__ import annotations

import itertools
import math
import time as clock
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from heapwatch_collector.errors import Malformed
from heapwatch_collector.receive.pprof import MAX_LABELS, MAX_TEXT, Limits, check_time
from heapwatch_collector.store.batch import Batch, Instance, Point, Series, labels_tuple

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_CUMULATIVE = otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
_NO_VALUE = otlp.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_USE_CUMULATIVE = "set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative"


def decode(data: bytes, content_type: str) -> ExportMetricsServiceRequest:
    """The request in `data`. Raises Malformed."""
    request = ExportMetricsServiceRequest()
    try:
        if content_type == JSON:
            # A newer sender may add fields; OTLP asks receivers to pass over them.
            json_format.Parse(data, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(data)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not an OTLP metrics request: {error}"[:300]) from None
    return request


def add_metrics(
    batch: Batch, request: ExportMetricsServiceRequest, limits: Limits
) -> ExportMetricsServiceResponse:
    """Put the points of `request` into `batch`; the answer says what was refused.

    Raises Malformed for points that contradict themselves.
    """
    refused = _Refused()
    for resource in request.resource_metrics:
        attributes = _attributes(resource.resource.attributes)
        instance = Instance(
            service=attributes.get("service.name") or "unknown_service",
            version=attributes.get("service.version", ""),
            instance=attributes.get("service.instance.id", ""),
            pid=attributes.get("process.pid", ""),
            host=attributes.get("host.name", ""),
            runtime=" ".join(
                attributes[name]
                for name in ("process.runtime.name", "process.runtime.version")
                if attributes.get(name)
            ),
        )
        reader = _Reader(batch, instance, limits.retention, refused)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                reader.metric(metric)
    return refused.answer()


class _Refused:
    def __init__(self) -> None:
        self.points = 0
        self.reason = ""

    def add(self, points: int, reason: str) -> None:
        self.points += points
        self.reason = self.reason or reason

    def answer(self) -> ExportMetricsServiceResponse:
        answer = ExportMetricsServiceResponse()
        if self.points:
            answer.partial_success.rejected_data_points = self.points
            answer.partial_success.error_message = self.reason
        return answer


class _Reader:
    """Turns the metrics of one instance into points of a batch."""

    def __init__(self, batch: Batch, instance: Instance, retention: float, refused: _Refused) -> None:
        self._batch = batch
        self._instance = instance
        self._retention = retention
        self._refused = refused
        self._now = int(clock.time() * 1000)

    def metric(self, metric: Any) -> None:
        name = metric.name
        if not name or len(name) > MAX_TEXT:
            raise Malformed(f"a metric's name is empty or longer than {MAX_TEXT} characters")
        kind = metric.WhichOneof("data")
        if kind == "gauge":
            self._numbers(name, "gauge", metric.gauge.data_points)
        elif kind == "sum" and metric.sum.aggregation_temporality == _CUMULATIVE:
            self._numbers(name, "counter" if metric.sum.is_monotonic else "gauge", metric.sum.data_points)
        elif kind == "histogram" and metric.histogram.aggregation_temporality == _CUMULATIVE:
            self._histograms(name, metric.histogram.data_points)
        elif kind in ("sum", "histogram"):
            points = len(getattr(metric, kind).data_points)
            self._refused.add(points, f"{name}: delta temporality is not kept; {_USE_CUMULATIVE}")
        elif kind:
            points = len(getattr(metric, kind).data_points)
            self._refused.add(points, f"{name}: {kind} is not kept; send an explicit bucket histogram")

    def _numbers(self, name: str, kind: str, points: Iterable[Any]) -> None:
        for point in points:
            which = point.WhichOneof("value")
            value = float(getattr(point, which)) if which else math.nan
            if point.flags & _NO_VALUE or not math.isfinite(value):
                continue
            self._add(name, kind, point, Point(point.time_unix_nano // 1_000_000, value))

    def _histograms(self, name: str, points: Iterable[Any]) -> None:
        for point in points:
            if point.flags & _NO_VALUE or not math.isfinite(point.sum):
                continue
            bounds, counts = tuple(point.explicit_bounds), tuple(point.bucket_counts)
            if counts and len(counts) != len(bounds) + 1:
                raise Malformed(f"{name}: {len(counts)} bucket counts for {len(bounds)} bounds")
            if any(not low < high for low, high in itertools.pairwise(bounds)):
                raise Malformed(f"{name}: the bucket bounds do not increase")
            time = point.time_unix_nano // 1_000_000
            self._add(name, "histogram", point, Point(time, point.sum, point.count, counts), bounds)

    def _add(self, name: str, kind: str, source: Any, point: Point, bounds: Sequence[float] = ()) -> None:
        time = point.time or self._now
        check_time(time, self._now, self._retention)
        labels = _attributes(source.attributes)
        owner = self._instance
        series = Series(
            owner.service,
            "metric",
            name,
            owner.version,
            owner.instance,
            labels_tuple(labels),
            kind,
            tuple(bounds),
        )
        self._batch.add_point(self._batch.add_series(series), point._replace(time=time))
        self._batch.add_instance(owner, time)


def _attributes(pairs: Iterable[Any]) -> dict[str, str]:
    """Attributes as text; lists and maps in protobuf's JSON. Raises Malformed when there are too many."""
    found: dict[str, str] = {}
    for pair in pairs:
        which = pair.value.WhichOneof("value")
        if which in ("array_value", "kvlist_value"):
            text = json_format.MessageToJson(pair.value, indent=None)
        elif which == "bool_value":
            text = str(pair.value.bool_value).lower()
        else:
            text = str(getattr(pair.value, which)) if which else ""
        found[pair.key[:MAX_TEXT]] = text[:MAX_TEXT]
    if len(found) > MAX_LABELS:
        raise Malformed(f"{len(found)} attributes; {MAX_LABELS} are accepted")
    return found
