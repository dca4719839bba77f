"""Files for a Prometheus and an Alertmanager: alert rules, scrape job, routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heapwatch_alerts.expressions import duration
from heapwatch_alerts.links import Links
from heapwatch_alerts.rules import JOB, RULES, Rule
from heapwatch_alerts.wording import prometheus


def rules_document(links: Links, rules: Sequence[Rule] = RULES) -> dict[str, Any]:
    """A Prometheus rules file, as values for YAML."""
    return {"groups": [{"name": "heapwatch", "rules": [_rule(rule, links) for rule in rules]}]}


def _rule(rule: Rule, links: Links) -> dict[str, Any]:
    unit = rule.threshold.unit
    row: dict[str, Any] = {"alert": rule.alert, "expr": rule.condition.promql()}
    if rule.hold:
        row["for"] = duration(rule.hold)
    row["labels"] = {"severity": rule.severity}
    row["annotations"] = {name: prometheus(text, unit) for name, text in links.annotations(rule).items()}
    return row


def scrape_document(target: str, token: str, rules_file: str, alertmanager: str) -> dict[str, Any]:
    """A Prometheus configuration that reads the collector at `target` (HOST:PORT) and alerts."""
    job: dict[str, Any] = {
        "job_name": JOB,
        # The page speaks for many processes: their own instance labels count, not the page's.
        "honor_labels": True,
        "static_configs": [{"targets": [target]}],
    }
    if token:
        job["authorization"] = {"credentials": token}
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": [rules_file],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [job],
    }


def alertmanager_document(webhook: str) -> dict[str, Any]:
    """An Alertmanager configuration: critical alerts at once and often, others collected.

    A severer alert about an instance or service silences the milder one about the same trouble.
    """
    return {
        "route": {
            "receiver": "team",
            "group_by": ["alertname", "service"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                {
                    "matchers": ['severity="critical"'],
                    "receiver": "on-call",
                    "group_wait": "10s",
                    "group_interval": "1m",
                    "repeat_interval": "1h",
                },
                {"matchers": ['severity="info"'], "receiver": "nobody"},
            ],
        },
        "inhibit_rules": [
            _inhibit("MemoryCritical", "MemoryHigh", "instance"),
            _inhibit("MemoryLimitImminent", "MemoryLimitNear", "instance"),
            _inhibit("GcPauseSevere", "GcPauseLong", "instance"),
            _inhibit("MemoryLeak", "MemoryGrowth", "version"),
        ],
        "receivers": [
            {"name": "on-call", "webhook_configs": [{"url": webhook, "send_resolved": True}]},
            {"name": "team", "webhook_configs": [{"url": webhook, "send_resolved": True}]},
            {"name": "nobody"},
        ],
    }


def _inhibit(strong: str, weak: str, same: str) -> dict[str, Any]:
    return {
        "source_matchers": [f'alertname="Heapwatch{strong}"'],
        "target_matchers": [f'alertname="Heapwatch{weak}"'],
        "equal": ["service", same],
    }
