"""`heapwatch gc PID`: look at the garbage collector, or make it work."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from heapwatch.cli.options import add_common, add_pid, client, print_json
from heapwatch.cli.table import table
from heapwatch.cli.units import count, duration, size

HELP = "show the garbage collector's state; collect or freeze"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--collect",
        action="store_const",
        const="collect",
        dest="action",
        help="run a full collection; the service pauses meanwhile",
    )
    action.add_argument(
        "--freeze",
        action="store_const",
        const="freeze",
        dest="action",
        help="move all objects to where no collection looks at them again",
    )
    parser.set_defaults(action="stats")
    add_common(parser, "  heapwatch gc 4711\n  heapwatch gc 4711 --collect\n")


def run(args: argparse.Namespace) -> int:
    asking = client(args)
    answers = {pid: asking.call(pid, "gc", action=args.action) for pid in asking.family(args.pid)}
    if args.json:
        print_json(answers)
        return 0
    for pid, answer in answers.items():
        print(_text(pid, answer))
    return 0


def _text(pid: int, answer: Mapping[str, Any]) -> str:
    state = "on" if answer["enabled"] else "off"
    rows = [
        (
            str(i),
            str(threshold),
            count(now),
            count(g["collections"]),
            count(g["collected"]),
            count(g["uncollectable"]),
        )
        for i, (threshold, now, g) in enumerate(
            zip(answer["thresholds"], answer["counts"], answer["generations"], strict=True)
        )
    ]
    header = (">generation", ">threshold", ">now", ">collections", ">collected", ">uncollectable")
    lines = [
        f"process {pid}: automatic collection is {state}, {count(answer['frozen'])} objects frozen,"
        f" {count(answer['uncollectable'])} in gc.garbage, rss {size(answer['rss'])}",
        table(header, rows),
    ]
    if "collected" in answer:
        freed = answer["rss_before"] - answer["rss"]
        lines.append(
            f"collected {count(answer['collected'])} objects in {duration(answer['seconds'])};"
            f" rss changed by {size(-freed)}"
        )
    return "\n".join(lines)
