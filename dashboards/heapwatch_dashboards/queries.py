"""PromQL of the panels, with every metric name taken from the one table of metrics."""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_wire.metrics import BY_NAME

SERVICE = 'service=~"$service"'
INSTANCE = 'service=~"$service", version=~"$version", instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and the name of its series in the legend (`{{label}}` stands for a label)."""

    expr: str
    legend: str = ""


def series(metric: str, scope: str = INSTANCE, part: str = "") -> str:
    """The selector of `metric`; `part` is bucket, sum or count of a histogram.

    Raises KeyError for a metric that is not in the table.
    """
    name = BY_NAME[metric].prometheus
    return f"{name}_{part}{{{scope}}}" if part else f"{name}{{{scope}}}"


def rate(metric: str, scope: str = INSTANCE, part: str = "") -> str:
    """Increase per second of a counter."""
    return f"rate({series(metric, scope, part)}[$__rate_interval])"


def quantile(q: float, metric: str, by: str, scope: str = INSTANCE) -> str:
    """The `q` quantile of a histogram, per `by` (label names, comma separated)."""
    return f"histogram_quantile({q:g}, sum by ({by}, le) ({rate(metric, scope, 'bucket')}))"


def limit_share(by: str, scope: str = INSTANCE) -> str:
    """Working set over memory limit, of the instance that is worst, per `by`."""
    used = f"max by (service, version, instance) ({series('container.memory.working_set', scope)})"
    limit = f"max by (service, version, instance) ({series('heapwatch.container.memory.limit', scope)})"
    return f"max by ({by}) ({used} / {limit})"
