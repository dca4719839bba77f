"""Reading the collector's page, in Prometheus' text format, over HTTP."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Mapping

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT = 10.0
MAX_BYTES = 64 << 20


class PageError(Exception):
    """The page could not be read; the message says why."""


def read(collector: str, token: str) -> list[tuple[str, Mapping[str, str], float]]:
    """(series name, labels, value) of everything on `collector`'s /metrics; PageError if it can't be read."""
    address = collector.rstrip("/") + "/metrics"
    request = urllib.request.Request(address)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            body = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PageError(f"{address}: {error}") from error
    if len(body) > MAX_BYTES:
        raise PageError(f"{address}: longer than {MAX_BYTES >> 20} MiB")
    try:
        return list(parse(body.decode()))
    except (ValueError, KeyError, IndexError) as error:
        raise PageError(f"{address}: not Prometheus text: {error}") from error


def parse(text: str) -> Iterable[tuple[str, Mapping[str, str], float]]:
    """Samples of a page; ValueError and its kin if it isn't Prometheus' text format."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
