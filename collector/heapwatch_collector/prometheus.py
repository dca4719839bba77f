"""The Prometheus page: what living instances said last, what analyses found, the collector itself."""

from __future__ import annotations

import time as clock
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from flask import Blueprint, Response, request
from heapwatch_wire.metric import label
from heapwatch_wire.metrics import BY_NAME
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector as Source
from prometheus_client.utils import floatToGoString

from heapwatch_collector.context import Collector
from heapwatch_collector.store import documents
from heapwatch_collector.store.batch import Point, Series

# An analyzer that has stopped must not keep an alert alive.
ANALYSIS_STALE_AFTER = 300.0


def routes(collector: Collector) -> Blueprint:
    """The scrape page."""
    doors = Blueprint("prometheus", __name__)
    registry = CollectorRegistry()
    registry.register(_Page(collector))

    @doors.get("/metrics")
    def metrics() -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(registry), content_type=content_type)

    return doors


class _Page(Source):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def describe(self) -> Iterable[Family]:
        """Nothing: what is on the page changes with who is alive."""
        return []

    def collect(self) -> Iterator[Family]:
        yield from agent_families(self._collector.live.values())
        yield from analysis_families(documents.analyses(self._collector.store), clock.time())
        yield from self._collector.telemetry.registry.collect()


def agent_families(values: Iterable[tuple[Series, str, Point]]) -> list[Family]:
    """The table's metrics that agents and services send, by family; other producers' own are not shown."""
    families: dict[str, Family] = {}
    for series, pid, point in values:
        row = BY_NAME.get(series.name)
        if row is None or row.source not in ("agent", "app") or row.instrument != series.kind:
            continue
        labels = {
            **{label(name): value for name, value in series.labels},
            "service": series.service,
            "version": series.version,
            "instance": series.instance,
            "pid": pid,
        }
        family = _family(families, series.name)
        if series.kind == "histogram":
            _add_histogram(family, labels, series.bounds, point)
        else:
            family.add_sample(row.prometheus, labels, point.value)
    return list(families.values())


def analysis_families(analyses: Iterable[Mapping[str, Any]], now: float) -> list[Family]:
    """Leaks, growth, forecasts, anomalies and advice of analyses not stale at `now` (Unix seconds)."""
    families: dict[str, Family] = {}
    for analysis in analyses:
        if now - analysis["time"] > max(ANALYSIS_STALE_AFTER, analysis["window"]):
            continue
        owner = {"service": analysis["service"], "version": analysis["version"]}
        for name, labels, value in _findings(analysis):
            row = BY_NAME[name]
            _family(families, name).add_sample(row.prometheus, {**labels, **owner}, value)
    return list(families.values())


def _findings(analysis: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], float]]:
    for evidence in analysis.get("verdicts", ()):
        if evidence["verdict"] == "leak":
            site = evidence["site"]
            labels = {
                "heapwatch_site": site["id"],
                "code_function_name": site["function"],
                "code_file_path": site["file"],
                "code_line_number": str(site["line"]),
            }
            yield "heapwatch.leak.growth", labels, evidence["growth"]["bytes_per_second"]
            yield "heapwatch.leak.live", labels, evidence["live_bytes"]
    for growth in analysis.get("forecasts", ()):
        labels = {"instance": growth["instance"]}
        yield "heapwatch.memory.growth", labels, growth["bytes_per_second"]
        if growth.get("forecast"):
            yield "heapwatch.memory.limit_eta", labels, growth["forecast"]["seconds"]
    for anomaly in analysis.get("anomalies", ()):
        yield "heapwatch.anomaly.score", {"instance": anomaly["instance"]}, anomaly["score"]
    if scaling := analysis.get("scaling"):
        yield "heapwatch.advice.memory.request", {}, scaling["request"]
        yield "heapwatch.advice.memory.limit", {}, scaling["limit"]
        yield "heapwatch.advice.replicas", {}, scaling["replicas"]


def _family(families: dict[str, Family], name: str) -> Family:
    row = BY_NAME[name]
    if name not in families:
        # A counter's family goes by its name without the suffix that its samples carry.
        families[name] = Family(row.prometheus.removesuffix("_total"), row.description, row.instrument)
    return families[name]


def _add_histogram(family: Family, labels: dict[str, str], bounds: Iterable[float], point: Point) -> None:
    edges = [*map(floatToGoString, bounds), "+Inf"] if point.counts else ["+Inf"]
    counts = accumulate(point.counts or (point.observations,))
    for edge, count in zip(edges, counts, strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": edge}, count)
    family.add_sample(f"{family.name}_count", labels, point.observations)
    family.add_sample(f"{family.name}_sum", labels, point.value)
