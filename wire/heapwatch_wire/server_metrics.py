"""The metric table's rows that no agent sends: of the collector, the analyzer, and services themselves."""

from __future__ import annotations

from heapwatch_wire.metric import DURATION_BUCKETS, Metric

_SITE = ("heapwatch.site", "code.function.name", "code.file.path", "code.line.number")

SERVER_METRICS: tuple[Metric, ...] = (
    # The collector about itself.
    Metric(
        "heapwatch.collector.received",
        "counter",
        "{request}",
        "Requests accepted.",
        ("heapwatch.signal",),
        source="collector",
    ),
    Metric(
        "heapwatch.collector.rejected",
        "counter",
        "{request}",
        "Requests refused.",
        ("heapwatch.signal", "heapwatch.reason"),
        source="collector",
    ),
    Metric(
        "heapwatch.collector.pending",
        "gauge",
        "By",
        "Bytes received and not yet committed.",
        source="collector",
    ),
    Metric(
        "heapwatch.collector.commit.duration",
        "histogram",
        "s",
        "Duration of a group commit.",
        buckets=DURATION_BUCKETS,
        source="collector",
    ),
    # What the analyzer found.
    Metric(
        "heapwatch.leak.growth",
        "gauge",
        "By/s",
        "Growth of a leaking allocation site, over all instances.",
        _SITE,
        source="analyzer",
    ),
    Metric(
        "heapwatch.leak.live",
        "gauge",
        "By",
        "Live bytes of a leaking allocation site, over all instances.",
        _SITE,
        source="analyzer",
    ),
    Metric("heapwatch.memory.growth", "gauge", "By/s", "Growth of an instance's memory.", source="analyzer"),
    Metric(
        "heapwatch.memory.limit_eta",
        "gauge",
        "s",
        "Forecast time until an instance meets its memory limit.",
        source="analyzer",
    ),
    Metric(
        "heapwatch.anomaly.score",
        "gauge",
        "1",
        "Anomaly score of an instance, 0 usual to 1 strange.",
        source="analyzer",
    ),
    Metric(
        "heapwatch.advice.memory.request",
        "gauge",
        "By",
        "Recommended memory request of an instance.",
        source="analyzer",
    ),
    Metric(
        "heapwatch.advice.memory.limit",
        "gauge",
        "By",
        "Recommended memory limit of an instance.",
        source="analyzer",
    ),
    Metric(
        "heapwatch.advice.replicas",
        "gauge",
        "{instance}",
        "Recommended number of instances.",
        source="analyzer",
    ),
    # What a service may send itself: the alerts and dashboards that read these wait until it does.
    Metric(
        "app.cache.lookups",
        "counter",
        "{lookup}",
        "Cache lookups by cache and result (hit or miss).",
        ("app.cache.name", "app.cache.result"),
        source="app",
    ),
    Metric(
        "app.database.connection.failures",
        "counter",
        "{failure}",
        "Database connections that could not be made or taken from the pool.",
        source="app",
    ),
    Metric(
        "system.filesystem.utilization",
        "gauge",
        "1",
        "Used space over size of a file system that the service writes to.",
        ("system.filesystem.mountpoint",),
        source="app",
    ),
)
