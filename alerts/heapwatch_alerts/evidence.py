"""What the collector knows about a leak, put into the words of an alert."""

from __future__ import annotations

import json
from collections.abc import Mapping

from heapwatch_wire.evidence import Evidence, from_json

from heapwatch_alerts.states import Alert
from heapwatch_alerts.transport import TransportError, get
from heapwatch_alerts.wording import filled, humanized

_DOCUMENT = "/api/v1/leaks/{?service}/{?heapwatch_site}?version={?version}"


def details(alert: Alert, collector: str, token: str) -> Mapping[str, str]:
    """Annotations for a leak alert from its evidence document; none for other alerts, or without one."""
    if alert.rule.name != "MemoryLeak":
        return {}
    address = filled(collector.rstrip("/") + _DOCUMENT, alert.rule.threshold.unit, alert.labels, alert.value)
    try:
        return summary(from_json(Evidence, json.loads(get(address, token))))
    except (TransportError, ValueError) as error:
        return {"evidence": f"not available: {error}"}


def summary(evidence: Evidence) -> dict[str, str]:
    """The evidence in a line per question."""
    growth = evidence.growth
    rates = (growth.bytes_per_second, growth.low, growth.high)
    rate, low, high = (humanized(value * 3600, "By") for value in rates)
    lines = {
        "leaks": f"{evidence.type}, {rate} an hour ({low} to {high} at {growth.confidence:.0%})",
        "in": f"{evidence.growing} of {evidence.instances} instances",
    }
    if evidence.holders:
        lines["held_by"] = evidence.holders[0].path
    if evidence.endpoints:
        lines["made_by"] = evidence.endpoints[0].name
    if evidence.forecast is not None:
        lines["limit_in"] = humanized(evidence.forecast.seconds, "s")
    if evidence.recommendation is not None:
        lines["change"] = f"{evidence.recommendation.title}: {evidence.recommendation.text}"
    return lines
