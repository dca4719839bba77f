"""`heapwatch census PID`: how many objects of which type there are."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import Failure, add_common, add_pid, client
from heapwatch.cli.table import cut_left, table
from heapwatch.cli.units import count, duration, signed_size, size

HELP = "count objects and bytes by type, and what they grow by"

NAME_WIDTH = 44
Answers = Mapping[str, Mapping[str, Any]]
"""The agents' answers by pid, as text since JSON has no other keys."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument(
        "--watch",
        type=_seconds,
        metavar="S",
        help="count again every S seconds until Ctrl-C, and show what has changed since the first time",
    )
    parser.add_argument(
        "--since", type=Path, metavar="FILE", help="show what has changed since FILE, made with --json"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="types shown (default: 20)")
    parser.add_argument(
        "--budget",
        type=_seconds,
        default=0.5,
        metavar="S",
        help="seconds of CPU that counting may take in each process, a few milliseconds at a time; in a large"
        " heap some of the objects stand for the others, and the margins say how sure that is (default: 0.5)",
    )
    add_common(
        parser,
        "  heapwatch census 4711\n  heapwatch census 4711 --watch 30\n"
        "  heapwatch census 4711 --json > before.json; heapwatch census 4711 --since before.json\n",
    )


def run(args: argparse.Namespace) -> int:
    before = None if args.since is None else _read(args.since)
    while True:
        answers = _ask(args)
        if args.json:
            print_json(answers)
        else:
            print(text(answers, before, args.limit))
        if args.watch is None:
            return 0
        before = before or answers
        sys.stdout.flush()
        time.sleep(args.watch)


def text(answers: Answers, before: Answers | None, limit: int) -> str:
    """The table of all processes together; with `before`, what of it is new, the fastest growth first."""
    pids = [pid for pid in answers if before is None or pid in before]
    now = _sum([answers[pid] for pid in pids])
    head = _head([answers[pid] for pid in pids])
    if before is None:
        return f"{head}\n{_sizes(now, limit)}"
    if not pids:
        raise Failure("none of these processes was counted before", "they were restarted: count them anew")
    seconds = answers[pids[0]]["time"] - before[pids[0]]["time"]
    return f"{head}\n{_changes(now, _sum([before[pid] for pid in pids]), seconds, limit)}"


def _ask(args: argparse.Namespace) -> Answers:
    answers = client(args).call_willing(args.pid, "census", budget=args.budget)
    return {str(pid): answer for pid, answer in answers.items()}


def _read(path: Path) -> Answers:
    try:
        answers = json.loads(path.read_text())
        if not all("types" in answer for answer in answers.values()):
            raise ValueError("no counts")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Failure(f"{path} is no census: {error}", "make one with: heapwatch census PID --json") from None
    found: Answers = answers
    return found


def _sum(answers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for answer in answers:
        for name, counted in answer["types"].items():
            known = total.setdefault(name, dict.fromkeys(counted, 0.0))
            for key, value in counted.items():
                known[key] = math.hypot(known[key], value) if key.endswith("margin") else known[key] + value
    return total


def _head(answers: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for answer in answers:
        sparse = f", in the end one in {answer['stride']} looked at" if answer["stride"] > 1 else ""
        early = "" if answer["complete"] else "; not all were seen: give it more --budget"
        lines.append(
            f"process {answer['pid']}: {count(answer['objects'])} objects, {size(answer['bytes'])}, of"
            f" {len(answer['types'])} types ({count(answer['tracked'])} tracked by the garbage"
            f" collector{sparse}; {duration(answer['cpu'])} of CPU{early})"
        )
    return "\n".join(lines)


def _sizes(now: Mapping[str, Mapping[str, float]], limit: int) -> str:
    largest = sorted(now.items(), key=lambda item: -item[1]["bytes"])[:limit]
    rows = [
        (
            size(counted["bytes"]),
            _margin(counted["bytes_margin"]),
            count(counted["objects"]),
            size(counted["bytes"] / counted["objects"]) if counted["objects"] else "-",
            cut_left(name, NAME_WIDTH),
        )
        for name, counted in largest
    ]
    return table((">bytes", ">+-", ">objects", ">each", "type"), rows)


def _changes(
    now: Mapping[str, Mapping[str, float]],
    before: Mapping[str, Mapping[str, float]],
    seconds: float,
    limit: int,
) -> str:
    nothing = dict.fromkeys(("objects", "bytes", "objects_margin", "bytes_margin"), 0.0)
    changes = []
    for name in now.keys() | before.keys():
        new, old = now.get(name, nothing), before.get(name, nothing)
        margin = math.hypot(new["bytes_margin"], old["bytes_margin"])
        changes.append(
            (name, new["bytes"] - old["bytes"], margin, new["objects"] - old["objects"], new["bytes"])
        )
    # What may well be chance comes after what isn't.
    changes.sort(key=lambda change: (-(abs(change[1]) - change[2]), change[0]))
    rows = [
        (
            signed_size(grown),
            _margin(margin),
            f"{'+' if objects > 0 else ''}{count(objects)}",
            f"{signed_size(grown / seconds * 60)}" if seconds > 0 else "-",
            size(whole),
            cut_left(name, NAME_WIDTH),
        )
        for name, grown, margin, objects, whole in changes[:limit]
        if abs(grown) >= 1.0
    ]
    return f"in {duration(seconds)}:\n" + table(
        (">change", ">+-", ">objects", ">a minute", ">now", "type"), rows
    )


def _margin(value: float) -> str:
    return size(value) if value >= 1.0 else ""


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of seconds above 0")
    return seconds
