"""The index of runbook pages, made from the table of rules."""

from __future__ import annotations

from collections.abc import Sequence

from heapwatch_alerts.expressions import duration
from heapwatch_alerts.rules import RULES, Rule
from heapwatch_alerts.wording import humanized


def index(rules: Sequence[Rule] = RULES) -> str:
    """docs/runbooks/README.md: what fires when, and where to read on."""
    lines = [
        "# Runbooks",
        "",
        "A page per alert: what it means, where to look first, what to do next, what is safe in an",
        "emergency, and how it does not come back. `heapwatch alerts runbooks` makes this file.",
        "",
        "To be alerted without a Prometheus, send to a webhook, to an Alertmanager, or to both:",
        "",
        "    heapwatch alerts run --collector http://127.0.0.1:4040 --webhook https://chat.example/hook",
        "",
        "With a Prometheus and an Alertmanager, let Heapwatch write their files:",
        "",
        "    heapwatch alerts rules -o heapwatch-rules.yml",
        "    heapwatch alerts prometheus -o prometheus.yml",
        "    heapwatch alerts alertmanager --webhook https://chat.example/hook -o alertmanager.yml",
        "",
        "Both ways judge the same rules and find the same. PID in the commands of the pages is the process",
        "id: the second last part of the alert's `instance` label, which is host, process id and start time.",
        "Run the commands on that host, as the service's user; `heapwatch doctor PID` is the quickest first",
        "look: it says what is wrong with the process, and what is safe to do.",
        "",
        "| alert | severity | fires when | for | first action |",
        "| --- | --- | --- | --- | --- |",
        *(_row(rule) for rule in rules),
    ]
    waiting = [rule for rule in rules if rule.needs]
    if waiting:
        lines += ["", "These wait for a metric that the service itself has to send:", ""]
        lines += [f"- {rule.alert}: {', '.join(f'`{name}`' for name in rule.needs)}" for rule in waiting]
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    threshold = rule.threshold
    when = f"{threshold.of} {threshold.bad} {humanized(threshold.value, threshold.unit)}"
    hold = duration(rule.hold) if rule.hold else "at once"
    return f"| [{rule.alert}]({rule.page}) | {rule.severity} | {when} | {hold} | {rule.action} |"
