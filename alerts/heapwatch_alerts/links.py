"""Where an alert sends its reader: the runbook page and the evidence."""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_alerts.rules import Rule


@dataclass(frozen=True, slots=True)
class Links:
    """`runbooks` is a folder or address of the pages, `collector` the collector as people reach it."""

    runbooks: str
    collector: str

    def runbook(self, rule: Rule) -> str:
        return f"{self.runbooks.rstrip('/')}/{rule.page}"

    def evidence(self, rule: Rule) -> str:
        """Template of the address of the rule's evidence."""
        return self.collector.rstrip("/") + rule.evidence

    def annotations(self, rule: Rule) -> dict[str, str]:
        """Annotations of an alert, as templates."""
        return {
            "summary": rule.summary,
            "action": rule.action,
            "runbook_url": self.runbook(rule),
            "evidence_url": self.evidence(rule),
        }
