"""Sending alerts over HTTP: to a webhook in Alertmanager's format, or to an Alertmanager.

Both senders compare what fires with what the receiver has been told, so a receiver that is down costs
nothing but a failed attempt per evaluation, and is told the state of the day once it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from heapwatch_alerts.links import Links
from heapwatch_alerts.states import Alert
from heapwatch_alerts.transport import RefusedError, post
from heapwatch_alerts.wording import filled

REMEMBER_RESOLVED = 3600.0
"""Seconds for which delivery of a resolved alert is attempted."""

MAX_ALERTS = 100
"""Most alerts in one notification; more are only counted, as Alertmanager does."""


class Sender(Protocol):
    """Something that tells a receiver about alerts."""

    def send(self, alerts: Sequence[Alert], now: float) -> int:
        """Tell of `alerts`, all that fire or were resolved lately. Returns the number of notifications
        delivered; raises TransportError if the receiver fails, and is then asked again later."""
        ...


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_NEVER = "0001-01-01T00:00:00Z"


def annotated(alert: Alert, links: Links) -> dict[str, str]:
    """The rule's annotations, filled, and what is known about this alert in particular."""
    unit, labels = alert.rule.threshold.unit, alert.labels
    texts = links.annotations(alert.rule).items()
    return {k: filled(text, unit, labels, alert.value) for k, text in texts} | dict(alert.details)


def as_json(alert: Alert, links: Links) -> dict[str, Any]:
    """One alert, as in Alertmanager's webhook."""
    return {
        "status": "firing" if alert.ended is None else "resolved",
        "labels": alert.labels,
        "annotations": annotated(alert, links),
        "startsAt": timestamp(alert.started),
        "endsAt": _NEVER if alert.ended is None else timestamp(alert.ended),
        "generatorURL": links.collector,
        "fingerprint": alert.fingerprint,
    }


@dataclass(slots=True)
class _Told:
    """What a group's receiver knows: fingerprints that fire, and when it was told."""

    firing: frozenset[str] = frozenset()
    time: float = 0.0


@dataclass(slots=True)
class Webhook:
    """Alertmanager's webhook format, version 4: one notification per alert name and service.

    A group is sent when its set of firing alerts changes, and again every `repeat` seconds while
    it fires.
    """

    address: str
    links: Links
    repeat: float
    _told: dict[tuple[str, str], _Told] = field(default_factory=dict)

    def send(self, alerts: Sequence[Alert], now: float) -> int:
        delivered = 0
        refused: RefusedError | None = None
        groups = _grouped(alerts)
        self._told = {key: told for key, told in self._told.items() if key in groups}
        for key, members in groups.items():
            told = self._told.get(key, _Told())
            firing = frozenset(a.fingerprint for a in members if a.ended is None)
            if firing == told.firing and not (firing and now - told.time >= self.repeat):
                continue
            # Of the resolved ones, the receiver hears of those that it believes to be firing.
            news = [a for a in members if a.ended is None or a.fingerprint in told.firing]
            try:
                post(self.address, self._document(key, news))
            except RefusedError as error:
                refused = error
                continue
            self._told[key] = _Told(firing, now)
            delivered += 1
        if refused is not None:
            raise refused
        return delivered

    def _document(self, key: tuple[str, str], alerts: Sequence[Alert]) -> dict[str, Any]:
        shown = [as_json(alert, self.links) for alert in alerts[:MAX_ALERTS]]
        group = {"alertname": key[0]} | ({"service": key[1]} if key[1] else {})
        matchers = ", ".join(f'{k}="{v}"' for k, v in group.items())
        return {
            "version": "4",
            "groupKey": f"{{}}:{{{matchers}}}",
            "truncatedAlerts": len(alerts) - len(shown),
            "status": "firing" if any(a.ended is None for a in alerts) else "resolved",
            "receiver": "webhook",
            "groupLabels": group,
            "commonLabels": _common([a["labels"] for a in shown]),
            "commonAnnotations": _common([a["annotations"] for a in shown]),
            "externalURL": self.links.collector,
            "alerts": shown,
        }


@dataclass(slots=True)
class Alertmanager:
    """An Alertmanager's API v2, which groups, routes and repeats by itself.

    Alerts are sent when they change and again every `resend` seconds, since Alertmanager ends an
    alert that it isn't told about for `lifetime` seconds.
    """

    address: str
    links: Links
    resend: float = 60.0
    lifetime: float = 240.0
    _told: dict[str, tuple[bool, float]] = field(default_factory=dict)

    def send(self, alerts: Sequence[Alert], now: float) -> int:
        due = [alert for alert in alerts if self._due(alert, now)]
        if due:
            rows = [self._row(alert, now) for alert in due]
            post(self.address.rstrip("/") + "/api/v2/alerts", rows)
            self._told |= {alert.fingerprint: (alert.ended is None, now) for alert in due}
        known = {alert.fingerprint for alert in alerts}
        self._told = {k: told for k, told in self._told.items() if k in known}
        return 1 if due else 0

    def _due(self, alert: Alert, now: float) -> bool:
        firing, time = self._told.get(alert.fingerprint, (False, None))
        if alert.ended is not None:
            return firing
        return time is None or not firing or now - time >= self.resend

    def _row(self, alert: Alert, now: float) -> dict[str, Any]:
        return {
            "labels": alert.labels,
            "annotations": annotated(alert, self.links),
            "startsAt": timestamp(alert.started),
            "endsAt": timestamp(now + self.lifetime if alert.ended is None else alert.ended),
            "generatorURL": self.links.collector,
        }


def _grouped(alerts: Sequence[Alert]) -> dict[tuple[str, str], list[Alert]]:
    groups: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        key = (alert.rule.alert, alert.labels.get("service", ""))
        groups.setdefault(key, []).append(alert)
    return groups


def _common(maps: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {k: v for k, v in maps[0].items() if all(m.get(k) == v for m in maps)} if maps else {}
