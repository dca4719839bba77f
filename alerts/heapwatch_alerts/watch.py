"""The embedded evaluator: reads the collector's page, judges the rules, tells the receivers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heapwatch_alerts.delivery import REMEMBER_RESOLVED, Sender
from heapwatch_alerts.history import History
from heapwatch_alerts.page import PageError, Sample
from heapwatch_alerts.rules import JOB, RULES, UP, Rule
from heapwatch_alerts.states import Alert, Change, States
from heapwatch_alerts.transport import TransportError

MAX_DETAILS = 10
"""Most alerts of one evaluation whose details are looked up; the others only link to them."""

LOOKBACK = 300.0
"""Seconds for which the last page counts while the collector can't be read; Prometheus' own figure."""


@dataclass(slots=True)
class Counts:
    """What the evaluator has done so far."""

    readings: int = 0
    failed_readings: int = 0
    notifications: int = 0
    failed_notifications: int = 0


class Watch:
    """`read` gives the page's samples or raises PageError; `target` names it in CollectorDown.

    `detail` looks up what an alert's notifications say beyond its rule, once, when it fires; `report`
    gets a line for each thing worth a person's eye: of a failure that lasts, its begin and its end.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[Sample]],
        target: str,
        senders: Sequence[Sender],
        *,
        rules: Sequence[Rule] = RULES,
        detail: Callable[[Alert], Mapping[str, str]] = lambda alert: {},
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._read = read
        self._up = {"job": JOB, "instance": target}
        self._senders = tuple(senders)
        self._detail = detail
        self._report = report
        self._history = History(s for rule in rules for s in rule.condition.selections())
        self._states = States(rules)
        self._resolved: list[Alert] = []
        self._last_reading: float | None = None
        self._troubles: dict[int, str] = {}
        self.counts = Counts()

    @property
    def firing(self) -> tuple[Alert, ...]:
        return self._states.firing

    def step(self, now: float) -> Change:
        """One evaluation at `now` (Unix seconds). Raises nothing for a page or receiver that fails."""
        self._take_reading(now)
        change = self._states.evaluate(self._history, now)
        for alert in change.fired[:MAX_DETAILS]:
            alert.details = self._detail(alert)
        for alert in change.fired:
            self._report(f"firing: {alert.title}")
        for alert in change.resolved:
            self._report(f"resolved: {alert.title}")
        self._tell(change, now)
        return change

    def _take_reading(self, now: float) -> None:
        self.counts.readings += 1
        try:
            samples = self._read()
        except PageError as error:
            self.counts.failed_readings += 1
            self._trouble(self._read, f"not read: {error}")
            # For a while the last page still counts: a restart of the collector ends no alert.
            lost = self._last_reading is None or now - self._last_reading > LOOKBACK
            self._history.record(now, [(UP.prometheus, self._up, 0.0)], complete=lost)
            return
        self._last_reading = now
        self._trouble(self._read, "")
        self._history.record(now, [*samples, (UP.prometheus, self._up, 1.0)])
        crowded = "more series than are kept: some are not judged; let Prometheus evaluate the rules"
        self._trouble(self._history, crowded if self._history.refused else "")

    def _tell(self, change: Change, now: float) -> None:
        again = {alert.fingerprint for alert in self._states.firing}
        self._resolved += change.resolved
        self._resolved = [
            alert
            for alert in self._resolved
            if alert.fingerprint not in again and now - (alert.ended or now) < REMEMBER_RESOLVED
        ]
        for sender in self._senders:
            try:
                self.counts.notifications += sender.send((*self._states.firing, *self._resolved), now)
                self._trouble(sender, "")
            except TransportError as error:
                self.counts.failed_notifications += 1
                self._trouble(sender, f"not delivered: {error}")

    def _trouble(self, source: object, text: str) -> None:
        """Report what `source` suffers from (empty: nothing) unless it was the same before."""
        before = self._troubles.get(id(source), "")
        if text != before:
            self._report(text or f"over: {before}")
            self._troubles[id(source)] = text
