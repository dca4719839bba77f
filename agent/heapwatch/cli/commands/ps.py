"""`heapwatch ps`: the processes that have an agent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, client
from heapwatch.cli.table import table
from heapwatch.cli.units import duration, size
from heapwatch.control.client import ControlError

HELP = "list this user's processes that have an agent (of root: everybody's)"

HOW_TO_ATTACH = """\
No process of this user has an agent. Attach one:
  heapwatch run -- COMMAND                       without a change of code
  heapwatch attach PID                           while it runs
  import heapwatch; heapwatch.start()            in the service's code"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "  heapwatch ps\n  heapwatch ps --json\n")


def run(args: argparse.Namespace) -> int:
    agents, silent = [], []
    asking = client(args)
    for pid in asking.agents():
        try:
            agents.append(asking.call(pid, "info"))
        except ControlError as error:
            silent.append(str(error))
    if args.json:
        print_json(agents)
    elif agents:
        print(agents_table(agents))
    elif not silent:
        print(HOW_TO_ATTACH)
    for text in silent:
        print(f"heapwatch: {text}", file=sys.stderr)
    return 0


def agents_table(agents: Sequence[Mapping[str, Any]]) -> str:
    """A line per agent, from the answers to `info`."""
    header = (">pid", "service", "version", ">up", ">rss", ">peak", ">live heap", ">interval", "python", "")
    rows = [
        (
            str(a["pid"]),
            a["service"],
            a["version"] or "-",
            duration(a["uptime"]),
            size(a["rss"]),
            size(a["peak"]),
            size(a["live_bytes"]) if not a["reason"] else "-",
            size(a["interval"]) if not a["reason"] else "-",
            a["python"],
            f"no samples: {a['reason']}" if a["reason"] else "",
        )
        for a in agents
    ]
    return table(header, rows)
