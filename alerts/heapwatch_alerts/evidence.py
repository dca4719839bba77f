"""What the collector knows about a leak, put into the words of an alert."""

from __future__ import annotations

import json
from collections.abc import Mapping

from heapwatch_wire.evidence import Evidence, from_json
from heapwatch_wire.native import OUTSIDE_ID

from heapwatch_alerts.states import Alert
from heapwatch_alerts.transport import RefusedError, TransportError, get
from heapwatch_alerts.wording import filled, humanized

_SITE = "/api/v1/leaks/{?service}/{?heapwatch_site}?version={?version}"
_OUTSIDE = f"/api/v1/leaks/{{?service}}/{OUTSIDE_ID}?version={{?version}}"
_GROWTH = frozenset({"MemoryGrowth", "MemoryLimitNear", "MemoryLimitImminent"})


def details(alert: Alert, collector: str, token: str) -> Mapping[str, str]:
    """Annotations from the evidence document of a leak, or of what grows outside of Python for an alert on
    growth, where there is one; none for other alerts."""
    try:
        if alert.rule.name == "MemoryLeak":
            return summary(_document(_SITE, alert, collector, token))
        if alert.rule.name in _GROWTH:
            return summary(_document(_OUTSIDE, alert, collector, token))
    except RefusedError as error:
        return {} if alert.rule.name in _GROWTH else {"evidence": f"not available: {error}"}
    except (TransportError, ValueError) as error:
        return {"evidence": f"not available: {error}"}
    return {}


def _document(path: str, alert: Alert, collector: str, token: str) -> Evidence:
    address = filled(collector.rstrip("/") + path, alert.rule.threshold.unit, alert.labels, alert.value)
    return from_json(Evidence, json.loads(get(address, token)))


def summary(evidence: Evidence) -> dict[str, str]:
    """The evidence in a line per question."""
    growth = evidence.growth
    rates = (growth.bytes_per_second, growth.low, growth.high)
    rate, low, high = (humanized(value * 3600, "By") for value in rates)
    what = "outside_python" if evidence.parts else "leaks"
    of_type = f"{evidence.type}, " if evidence.type else ""
    lines = {
        what: f"{of_type}{rate} an hour ({low} to {high} at {growth.confidence:.0%})",
        "in": f"{evidence.growing} of {evidence.instances} instances",
    }
    if evidence.parts:
        parts = (f"{p.name} {humanized(p.bytes_per_second * 3600, 'By')} an hour" for p in evidence.parts[:3])
        lines["parts"] = ", ".join(parts)
    if evidence.suspects:
        lines["may_be"] = ", ".join(evidence.suspects)
    if evidence.holders:
        lines["held_by"] = evidence.holders[0].path
    if evidence.endpoints:
        lines["made_by"] = evidence.endpoints[0].name
    if evidence.forecast is not None:
        lines["limit_in"] = humanized(evidence.forecast.seconds, "s")
    if evidence.recommendation is not None:
        lines["change"] = f"{evidence.recommendation.title}: {evidence.recommendation.text}"
    return lines
