"""The rows of the metric table that are about requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Histogram, Number, Point

from heapwatch.instrument.distribution import Distribution
from heapwatch.instrument.endpoints import MAX_ENDPOINTS, Endpoint, Outcome, Totals
from heapwatch.sampler import NO_LABEL, OTHER_ENDPOINTS, Sampler

Key = TypeVar("Key", bound=Hashable)
Summed = TypeVar("Summed", Distribution, Totals)


def request_points(all_totals: Iterable[Totals]) -> Iterator[Point]:
    """A point of each metric about requests, for each endpoint. Changes `all_totals`, which are copies."""
    durations: dict[tuple[str, tuple[tuple[str, str], ...]], Distribution] = {}
    endpoints: dict[str, Totals] = {}
    for totals in all_totals:
        for outcome, taken in totals.outcomes.items():
            metric, attributes = duration_attributes(totals.endpoint, outcome)
            _add(durations, (metric, tuple(attributes.items())), taken)
        _add(endpoints, totals.endpoint.name, totals)
    for (metric, pairs), taken in durations.items():
        yield _histogram(metric, taken, dict(pairs))
    for name, totals in endpoints.items():
        yield from _endpoint_points(totals, {"heapwatch.endpoint": name})


def _add(found: dict[Key, Summed], key: Key, more: Summed) -> None:
    """Two may have the same name: a job that of a request, requests of unknown methods that of all others."""
    known = found.setdefault(key, more)
    if known is not more:
        known.merge(more)


def _endpoint_points(totals: Totals, attributes: dict[str, str]) -> Iterator[Point]:
    yield _histogram("heapwatch.endpoint.allocated", totals.allocated, attributes)
    yield _histogram("heapwatch.endpoint.peak", totals.peak, attributes)
    yield _histogram("heapwatch.endpoint.gc.pause", totals.gc, attributes)
    if any(totals.cpu.counts):
        yield _histogram("heapwatch.endpoint.cpu", totals.cpu, attributes)
    yield _histogram("heapwatch.endpoint.queries", totals.queries, attributes)
    for name, value in (
        ("heapwatch.endpoint.allocations", totals.allocations),
        ("heapwatch.endpoint.retained", totals.retained),
        ("heapwatch.endpoint.queries.repeated", totals.repeated_queries),
        ("heapwatch.endpoint.queries.time", totals.query_seconds),
        ("heapwatch.endpoint.templates.time", totals.template_seconds),
    ):
        yield Number(BY_NAME[name], value, attributes)


def live_points(sampler: Sampler) -> Iterator[Point]:
    """What lives now, by the endpoint that allocated it."""
    live: Counter[str] = Counter()
    for row in sampler.totals(live=True):
        if row.label != NO_LABEL:
            live[sampler.labels.name(row.label)] += row.inuse_bytes  # type: ignore[assignment]  # bytes are floats
    largest = live.most_common()
    for name, size in largest[MAX_ENDPOINTS:]:
        live[OTHER_ENDPOINTS] += size
        del live[name]
    for name, size in live.items():
        yield Number(BY_NAME["heapwatch.endpoint.live"], size, {"heapwatch.endpoint": name})


def duration_attributes(endpoint: Endpoint, outcome: Outcome) -> tuple[str, dict[str, str]]:
    """Name of the duration metric of such requests, and its attributes.

    Those of HTTP requests are as OpenTelemetry's semantic conventions have them (HTTP metrics, 1.23): what is
    unknown is left out, and an error has the type of the exception, or the status where none is known.
    """
    status, error, scheme = outcome
    if endpoint.kind != "request":
        return "heapwatch.task.duration", {"heapwatch.endpoint": endpoint.name, "heapwatch.outcome": status}
    attributes = {
        "http.request.method": endpoint.method,
        "url.scheme": scheme,
        "http.route": endpoint.route,
        "http.response.status_code": status,
        "error.type": error or (status if status.startswith("5") else ""),
    }
    return "http.server.request.duration", {name: value for name, value in attributes.items() if value}


def _histogram(name: str, distribution: Distribution, attributes: dict[str, str]) -> Histogram:
    counts, exemplars = tuple(distribution.counts), distribution.exemplars
    return Histogram(BY_NAME[name], counts, distribution.sum, attributes, exemplars)
