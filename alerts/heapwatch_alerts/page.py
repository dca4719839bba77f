"""Reading the collector's page, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families

from heapwatch_alerts.transport import TransportError, get

Sample = tuple[str, Mapping[str, str], float]
"""Series name, labels, value."""


class PageError(Exception):
    """The page could not be read; the message says why."""


def read(collector: str, token: str) -> list[Sample]:
    """Everything on /metrics of `collector`, an address. Raises PageError."""
    address = collector.rstrip("/") + "/metrics"
    try:
        return list(parse(get(address, token).decode()))
    except TransportError as error:
        raise PageError(str(error)) from error
    except (ValueError, KeyError, IndexError) as error:
        raise PageError(f"{address}: not Prometheus' text format: {error}") from error


def parse(text: str) -> Iterator[Sample]:
    """Samples of a page; ValueError, KeyError or IndexError if it isn't Prometheus' text format."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
