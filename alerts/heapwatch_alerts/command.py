"""`heapwatch alerts`: render rules, check them, or evaluate them without a Prometheus."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from heapwatch_wire.config import ConfigError, load, rows
from heapwatch_wire.settings import AlertSettings
from heapwatch_wire.shapes import offer_json, print_json

from heapwatch_alerts.links import Links
from heapwatch_alerts.rules import RULES, Rule
from heapwatch_alerts.runbooks import index

if TYPE_CHECKING:
    from heapwatch_alerts.states import Alert
    from heapwatch_alerts.watch import Watch

HELP = "render the alert rules for Prometheus, or evaluate them here"
EXTRA = "server"

USAGE_ERROR = 2

_DOCUMENT = "the file's document, which is YAML otherwise"
SHAPES = {
    "run": {
        "time": "moment",
        "event": "firing|resolved",
        "alert": {"...": "an alert as Alertmanager's webhook has it"},
    },
    "list": [
        {
            "alert": "text",
            "severity": "critical|warning|info",
            "expression": "PromQL",
            "threshold": "number, in unit",
            "unit": "UCUM",
            "of": "what is judged",
            "hold": "duration",
            "action": "text",
            "runbook": "file name",
            "needs": ["metric that the service has to send itself"],
        }
    ],
    "rules": {"...": _DOCUMENT},
    "prometheus": {"...": _DOCUMENT},
    "alertmanager": {"...": _DOCUMENT},
    "check": {"accepted": "true|false", "rules": "number", "said": ["line of promtool"]},
}
"""What each action prints with --json, as heapwatch_wire.shapes has it; of "run" a line for each event."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and the settings of section `[alerts]` as options."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_, text) in _ACTIONS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in SHAPES:
            offer_json(command, SHAPES[name])
        for setting, row in rows(AlertSettings):
            command.add_argument(
                "--" + setting.replace("_", "-"),
                dest=setting,
                metavar=(row.unit or "TEXT").upper(),
                help=f"{row.help} (default: {row.default!r})".replace("%", "%%"),
            )
        command.add_argument(
            "--config", metavar="FILE", help="heapwatch.toml to read (default: ./heapwatch.toml)"
        )
        if name not in ("check", "run", "list"):
            command.add_argument("-o", "--output", metavar="FILE", help="file to write (default: print)")


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; returns the exit code."""
    overrides = {name: getattr(args, name) for name, _ in rows(AlertSettings)}
    try:
        file = Path(args.config) if args.config else None
        settings = load(AlertSettings, "alerts", overrides=overrides, file=file)
        for name in ("collector", "webhook", "alertmanager"):
            _check_address(name, getattr(settings, name))
    except ConfigError as error:
        print(f"heapwatch alerts: {error}", file=sys.stderr)
        return USAGE_ERROR
    action, _ = _ACTIONS[args.action]
    result: int = action(settings, args)
    return result


def _check_address(name: str, address: str) -> None:
    if address and urlsplit(address).scheme not in ("http", "https"):
        raise ConfigError(f"{name}={address!r}: expected an address such as http://127.0.0.1:4040")


def _links(settings: AlertSettings) -> Links:
    return Links(settings.runbooks, settings.evidence or settings.collector)


def _write(document: Any, args: argparse.Namespace) -> int:
    # PyYAML comes with the extra, and importing this module must not need it.
    import yaml

    if isinstance(document, str):
        text = document
    elif args.json:
        text = json.dumps(document, indent=2) + "\n"
    else:
        text = yaml.safe_dump(document, sort_keys=False, width=110)
    if args.output:
        Path(args.output).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


def _rules(settings: AlertSettings, args: argparse.Namespace) -> int:
    from heapwatch_alerts.prometheus import rules_document

    return _write(rules_document(_links(settings)), args)


def _prometheus(settings: AlertSettings, args: argparse.Namespace) -> int:
    from heapwatch_alerts.prometheus import scrape_document

    alertmanager = urlsplit(settings.alertmanager).netloc or "127.0.0.1:9093"
    target = urlsplit(settings.collector).netloc
    return _write(scrape_document(target, settings.token, "heapwatch-rules.yml", alertmanager), args)


def _alertmanager(settings: AlertSettings, args: argparse.Namespace) -> int:
    from heapwatch_alerts.prometheus import alertmanager_document

    return _write(alertmanager_document(settings.webhook or "http://127.0.0.1:8080/alerts"), args)


def _runbooks(settings: AlertSettings, args: argparse.Namespace) -> int:
    return _write(index(), args)


def _list(settings: AlertSettings, args: argparse.Namespace) -> int:
    if args.json:
        print_json([_row(rule) for rule in RULES])
        return 0
    for rule in RULES:
        needs = f"  needs {', '.join(rule.needs)}" if rule.needs else ""
        print(f"{rule.alert:28} {rule.severity:9} {rule.condition.promql()}{needs}")
    return 0


def _row(rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.alert,
        "severity": rule.severity,
        "expression": rule.condition.promql(),
        "threshold": rule.threshold.value,
        "unit": rule.threshold.unit,
        "of": rule.threshold.of,
        "hold": rule.hold,
        "action": rule.action,
        "runbook": rule.page,
        "needs": list(rule.needs),
    }


def _check(settings: AlertSettings, args: argparse.Namespace) -> int:
    promtool = shutil.which("promtool")
    if promtool is None:
        print("heapwatch alerts: promtool is not installed; it comes with Prometheus", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        args.output = str(Path(folder, "heapwatch-rules.yml"))
        _rules(settings, args)
        words = [promtool, "check", "rules", args.output]
        done = subprocess.run(words, check=False, capture_output=args.json, text=True)
    if args.json:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        print_json({"accepted": done.returncode == 0, "rules": len(RULES), "said": said})
    return done.returncode


def _run(settings: AlertSettings, args: argparse.Namespace) -> int:
    if not settings.webhook and not settings.alertmanager:
        print(
            "heapwatch alerts: no --webhook and no --alertmanager: alerts are only printed", file=sys.stderr
        )
    out = sys.stderr if args.json else sys.stdout
    watch = _watch(settings, out)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(
        f"judging {len(RULES)} rules on {settings.collector} every {settings.evaluation_interval:g} s",
        file=out,
        flush=True,
    )
    while not stop.is_set():
        started = time.monotonic()
        change = watch.step(now := time.time())
        if args.json:
            _print_events(now, [*change.fired, *change.resolved], _links(settings))
        stop.wait(max(0.0, settings.evaluation_interval - (time.monotonic() - started)))
    counts = watch.counts
    print(
        f"stopped after {counts.readings} readings ({counts.failed_readings} failed), "
        f"{counts.notifications} notifications ({counts.failed_notifications} failed)",
        file=out,
    )
    return 0


def _print_events(now: float, alerts: Sequence[Alert], links: Links) -> None:
    from heapwatch_alerts.delivery import as_json

    for alert in alerts:
        event = "firing" if alert.ended is None else "resolved"
        print(json.dumps({"time": now, "event": event, "alert": as_json(alert, links)}), flush=True)


def _watch(settings: AlertSettings, out: TextIO) -> Watch:
    # These need prometheus_client, which comes with the extra.
    from heapwatch_alerts.delivery import Alertmanager, Sender, Webhook
    from heapwatch_alerts.evidence import details
    from heapwatch_alerts.page import read
    from heapwatch_alerts.watch import Watch

    links = _links(settings)
    senders: list[Sender] = []
    if settings.webhook:
        senders.append(Webhook(settings.webhook, links, settings.repeat_interval))
    if settings.alertmanager:
        # Alertmanager ends what it isn't told about: four missed evaluations, as Prometheus has it.
        interval = max(60.0, settings.evaluation_interval)
        senders.append(Alertmanager(settings.alertmanager, links, resend=interval, lifetime=4 * interval))
    return Watch(
        lambda: read(settings.collector, settings.token),
        urlsplit(settings.collector).netloc,
        senders,
        detail=lambda alert: details(alert, settings.collector, settings.token),
        report=lambda line: print(line, file=out, flush=True),
    )


_ACTIONS = {
    "run": (_run, "evaluate the rules on the collector's page and send alerts"),
    "list": (_list, "list the rules"),
    "rules": (_rules, "write the Prometheus rules file"),
    "prometheus": (_prometheus, "write a Prometheus configuration that scrapes the collector"),
    "alertmanager": (_alertmanager, "write an Alertmanager configuration with routes"),
    "runbooks": (_runbooks, "write the index of runbook pages"),
    "check": (_check, "check the rules with promtool"),
}
