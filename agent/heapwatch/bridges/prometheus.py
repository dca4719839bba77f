"""On the host's Prometheus page: a collector for its registry, or, with several processes, their shared
files.

prometheus_client shows processes together (PROMETHEUS_MULTIPROC_DIR) by files that each process writes when a
metric changes; collectors aren't asked. So there its own metric objects are brought up to date now and then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from heapwatch_wire.metric import Metric, label
from heapwatch_wire.otlp import Exemplar, Histogram, Number, Point

from heapwatch.bridges.readings import FRESH, Readings

MODULE = "prometheus_client"
WRITE_EVERY = 2.0


class Page:
    """A collector, in prometheus_client's sense, of what `readings` has; of nothing while it is None."""

    def __init__(self) -> None:
        self.readings: Readings | None = None

    def register(self, client: Any) -> None:
        """Stand on the page of the default registry; `client` is the module prometheus_client."""
        if not _many_processes():
            client.REGISTRY.register(self)

    def describe(self) -> list[Any]:
        """No names in advance, or else the registry would read everything to find them."""
        return []

    def collect(self) -> Iterator[Any]:
        """Metric families."""
        client = sys.modules[MODULE]
        families: dict[str, Any] = {}
        for point in self.readings.points() if self.readings is not None else ():
            metric = point.metric
            name = metric.prometheus.removesuffix("_total")
            family = families.get(name)
            if family is None:
                family = families[name] = client.Metric(name, metric.description, metric.instrument)
            for sample in _samples(point, client):
                family.add_sample(*sample)
        yield from families.values()


def _samples(point: Point, client: Any) -> Iterator[tuple[Any, ...]]:
    """(name, labels, value, timestamp, exemplar) of each line."""
    name, labels = point.metric.prometheus, _labels(point)
    if isinstance(point, Number):
        yield name, labels, point.value
        return
    bounds = [*map(str, point.metric.buckets), "+Inf"]
    for number, (bound, count) in enumerate(zip(bounds, accumulate(point.counts), strict=True)):
        exemplar = point.exemplars.get(number)
        shown = None if exemplar is None else _exemplar(exemplar, client)
        yield f"{name}_bucket", {**labels, "le": bound}, count, None, shown
    yield f"{name}_count", labels, sum(point.counts)
    yield f"{name}_sum", labels, point.sum


def _exemplar(exemplar: Exemplar, client: Any) -> Any:
    names = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return client.samples.Exemplar(names, exemplar.value, exemplar.time)


def _labels(point: Point) -> dict[str, str]:
    return {label(name): str(point.attributes.get(name, "")) for name in point.metric.attributes}


class Files:
    """What this process has in the shared files. Counters and histograms of processes add up there, also of
    those that have ended; gauges are told apart by pid."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._objects: dict[str, Any] = {}
        self._written: dict[tuple[str, tuple[str, ...]], Point] = {}

    def write(self, age: float = FRESH) -> None:
        """Bring the files up to date with points of this age, if several processes share a page."""
        client = sys.modules.get(MODULE)
        if client is None or not _many_processes():
            return
        points = {_key(point): point for point in self._readings.points(age)}
        for key, point in points.items():
            self._write(client, key, point)
        for key in self._written.keys() - points.keys():
            if self._written[key].metric.instrument == "gauge":  # an endpoint that has no memory any more
                self._child(client, self._written[key]).set(0)
                del self._written[key]

    def _write(self, client: Any, key: tuple[str, tuple[str, ...]], point: Point) -> None:
        before = self._written.get(key)
        child = self._child(client, point)
        if isinstance(point, Histogram):
            _add_histogram(child, point, before if isinstance(before, Histogram) else None)
        elif point.metric.instrument == "gauge":
            child.set(point.value)
        else:
            last = before.value if isinstance(before, Number) else 0
            child.inc(point.value - last if point.value >= last else point.value)
        self._written[key] = point

    def _child(self, client: Any, point: Point) -> Any:
        metric, labels = point.metric, _labels(point)
        made = self._objects.get(metric.name)
        if made is None:
            made = self._objects[metric.name] = _object(client, metric)
        return made.labels(**labels) if labels else made


def _object(client: Any, metric: Metric) -> Any:
    """prometheus_client's own metric, on no registry: its values go to the files all the same."""
    named = (metric.prometheus, metric.description, [label(name) for name in metric.attributes])
    if metric.instrument == "gauge":
        return client.Gauge(*named, registry=None, multiprocess_mode="liveall")
    if metric.instrument == "counter":
        return client.Counter(*named, registry=None)
    return client.Histogram(*named, registry=None, buckets=metric.buckets)


def _add_histogram(child: Any, now: Histogram, before: Histogram | None) -> None:
    if before is None or sum(now.counts) < sum(before.counts):
        before = Histogram(now.metric, (0,) * len(now.counts), 0.0)
    # There is no public way to add more than one observation at a time.
    for bucket, count, last in zip(child._buckets, now.counts, before.counts, strict=True):
        if count > last:
            bucket.inc(count - last)
    child._sum.inc(now.sum - before.sum)


def _key(point: Point) -> tuple[str, tuple[str, ...]]:
    return point.metric.name, tuple(_labels(point).values())


def _many_processes() -> bool:
    return bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
