"""`heapwatch dashboards`: render the Grafana dashboards, provision them, or install them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from heapwatch_wire.shapes import offer_json, print_json

HELP = "render the Grafana dashboards, or install them into a Grafana"
EXTRA = "server"

_FILES = {"files": ["path"]}
SHAPES = {
    "render": _FILES,
    "provision": _FILES,
    "install": {
        "sources": [{"name": "text", "url": "address"}],
        "dashboards": [{"name": "uid", "url": "address in Grafana"}],
    },
}
"""What each action prints with --json, as heapwatch_wire.shapes has it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    render = commands.add_parser("render", help="write the dashboards' JSON files")
    render.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to")

    provision = commands.add_parser("provision", help="write the dashboards and Grafana's provisioning files")
    provision.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to")
    provision.add_argument(
        "--mounted",
        metavar="PATH",
        default="/var/lib/grafana/dashboards/heapwatch",
        help="where Grafana will find DIR/dashboards (default: %(default)s)",
    )
    _add_sources(provision, "http://127.0.0.1:9090", "http://127.0.0.1:4040")

    install = commands.add_parser("install", help="install the dashboards into a running Grafana")
    install.add_argument("--url", required=True, help="address of Grafana, such as http://127.0.0.1:3000")
    install.add_argument(
        "--token",
        default=os.environ.get("GRAFANA_TOKEN", ""),
        help="token of a Grafana service account (default: $GRAFANA_TOKEN)",
    )
    _add_sources(install, "", "")
    for name, command in commands.choices.items():
        offer_json(command, SHAPES[name])


def _add_sources(parser: argparse.ArgumentParser, prometheus: str, collector: str) -> None:
    given = " (default: %(default)s)" if prometheus else "; without it, no data source is made"
    parser.add_argument(
        "--prometheus",
        metavar="URL",
        default=prometheus,
        help="a Prometheus that scrapes the collector, as Grafana reaches it" + given,
    )
    parser.add_argument(
        "--collector", metavar="URL", default=collector, help="the collector, as Grafana reaches it" + given
    )
    parser.add_argument("--collector-token", metavar="TOKEN", default="", help="the collector's bearer token")


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` says; returns the exit code."""
    return {"render": _render, "provision": _provision, "install": _install}[args.action](args)


# The imports below are inside functions since they need packages of the extra.


def _render(args: argparse.Namespace) -> int:
    from heapwatch_dashboards.render import write

    return _written(write(Path(args.output)), args)


def _provision(args: argparse.Namespace) -> int:
    from heapwatch_dashboards.provisioning import write
    from heapwatch_dashboards.sources import Sources

    sources = Sources(args.prometheus, args.collector, args.collector_token)
    return _written(write(Path(args.output), sources, args.mounted), args)


def _written(files: Sequence[Path], args: argparse.Namespace) -> int:
    if args.json:
        print_json({"files": [str(file) for file in files]})
    else:
        print("\n".join(str(file) for file in files))
    return 0


def _install(args: argparse.Namespace) -> int:
    from heapwatch_dashboards.install import InstallError, install
    from heapwatch_dashboards.sources import Sources

    if not args.token:
        print("heapwatch dashboards: no token: give --token or set GRAFANA_TOKEN", file=sys.stderr)
        return 2
    installed: dict[str, list[Mapping[str, str]]] = {"data source": [], "dashboard": []}

    def report(kind: str, name: str, url: str) -> None:
        installed[kind].append({"name": name, "url": url})
        if not args.json:
            print(f"{kind} {name}: {url}")

    try:
        install(args.url, args.token, Sources(args.prometheus, args.collector, args.collector_token), report)
    except InstallError as error:
        print(f"heapwatch dashboards: {error}", file=sys.stderr)
        return 1
    if args.json:
        print_json({"sources": installed["data source"], "dashboards": installed["dashboard"]})
    return 0
