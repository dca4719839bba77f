"""The life of an alert: pending while its condition holds, firing after `hold`, resolved when it ends."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from heapwatch_alerts.evaluation import holding
from heapwatch_alerts.history import History, Labels
from heapwatch_alerts.rules import RULES, Rule
from heapwatch_alerts.wording import filled


@dataclass(slots=True)
class Alert:
    """A firing or resolved alert.

    Times are Unix seconds; `ended` is None while it fires. `details` are annotations of this alert
    in particular, beside those of its rule.
    """

    rule: Rule
    group: Labels
    value: float
    started: float
    ended: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        return {"alertname": self.rule.alert, **dict(self.group), "severity": self.rule.severity}

    @property
    def title(self) -> str:
        """What people call it: name, severity, summary."""
        summary = filled(self.rule.summary, self.rule.threshold.unit, self.labels, self.value)
        return f"{self.rule.alert} ({self.rule.severity}): {summary}"

    @property
    def fingerprint(self) -> str:
        """Names the alert over its whole life; equal labels, equal fingerprint."""
        text = "\0".join(f"{k}\0{v}" for k, v in sorted(self.labels.items()))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """What one evaluation changed."""

    fired: tuple[Alert, ...]
    resolved: tuple[Alert, ...]


class States:
    """All alerts of `rules` over one history. At most one alert per rule and group of labels."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._rules = tuple(rules)
        self._pending: dict[tuple[str, Labels], float] = {}
        self._firing: dict[tuple[str, Labels], Alert] = {}

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(self._firing.values())

    @property
    def pending(self) -> int:
        return len(self._pending)

    def evaluate(self, history: History, now: float) -> Change:
        """Judge every rule at `now` and move its alerts on."""
        fired: list[Alert] = []
        resolved: list[Alert] = []
        for rule in self._rules:
            held = holding(rule.condition, history, now)
            fired += [
                alert for group, value in held.items() if (alert := self._hold(rule, group, value, now))
            ]
            resolved += self._end(rule, held.keys(), now)
        return Change(tuple(fired), tuple(resolved))

    def _hold(self, rule: Rule, group: Labels, value: float, now: float) -> Alert | None:
        key = (rule.name, group)
        if key in self._firing:
            self._firing[key].value = value
            return None
        since = self._pending.setdefault(key, now)
        if now - since < rule.hold:
            return None
        del self._pending[key]
        self._firing[key] = Alert(rule, group, value, now)
        return self._firing[key]

    def _end(self, rule: Rule, held: Collection[Labels], now: float) -> list[Alert]:
        for key in [k for k in self._pending if k[0] == rule.name and k[1] not in held]:
            del self._pending[key]
        ended = [self._firing.pop(k) for k in list(self._firing) if k[0] == rule.name and k[1] not in held]
        for alert in ended:
            alert.ended = now
        return ended
