"""`heapwatch doctor [PID]`: what is wrong with a process's memory, the most urgent first."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from heapwatch_wire.shapes import print_json

from heapwatch.cli.doctor.allocations import LONGEST, watch_allocations
from heapwatch.cli.doctor.facts import Facts
from heapwatch.cli.doctor.gather import gather, is_python
from heapwatch.cli.doctor.symptoms import Finding, Step, diagnose
from heapwatch.cli.options import Failure, add_common, no_agent, pid_argument
from heapwatch.cli.table import WIDTH, cut
from heapwatch.cli.units import count, duration, size
from heapwatch.control.client import Client, descendants

HELP = "diagnose processes in plain words: what is wrong, what to look at next, what is safe to do now"

ANSWER_LIMIT = 5.0
"""Seconds that an agent has for each answer."""
_MAX_PROCESSES = 16


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pid",
        nargs="?",
        type=pid_argument,
        metavar="PID",
        help="a process with or without an agent; of a server's main process the workers are taken too"
        " (default: all processes of this user that have an agent)",
    )
    parser.add_argument("--service", default="", metavar="NAME", help="only processes of this service")
    parser.add_argument(
        "--watch",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="how long growth is watched (default: 2)",
    )
    parser.add_argument(
        "--memray",
        type=_memray_seconds,
        metavar="SECONDS",
        help="of PID, which has no agent, tell which lines allocate most. This changes the process: gdb or"
        " lldb stops it and puts memray in, which must be installed there and here; it is slower for so many"
        f" seconds (at most {LONGEST}), then memray is idle",
    )
    add_common(
        parser,
        "  heapwatch doctor\n  heapwatch doctor 4711\n  heapwatch doctor --service shop --watch 30\n"
        "  heapwatch doctor 4711 --memray 3\n",
    )


def run(args: argparse.Namespace) -> int:
    asking = Client(args.runtime_dir, ANSWER_LIMIT)
    pids = _chosen(args, asking)
    try:
        gathered = gather(pids, asking, args.watch)
    except PermissionError:
        raise Failure(
            "the process can't be read: permission denied", "run the command as its owner"
        ) from None
    except FileNotFoundError:
        raise Failure(
            f"there is no process {', '.join(map(str, pids))}, or it has just ended",
            "heapwatch ps lists the processes with an agent",
        ) from None
    if args.memray:
        gathered = [_with_memray(facts, args) for facts in gathered]
    diagnoses = [(facts, diagnose(facts)) for facts in gathered]
    if args.json:
        print_json([{"facts": asdict(f), "findings": [asdict(x) for x in found]} for f, found in diagnoses])
    else:
        print("\n\n".join(_text(facts, found) for facts, found in diagnoses))
    return 0


def _chosen(args: argparse.Namespace, asking: Client) -> list[int]:
    """The processes that are looked at. Failure when there are none."""
    if args.memray:
        return [_without_agent(args.pid, asking)]
    if args.pid is None:
        pids = asking.agents()
    else:
        family = [args.pid, *filter(is_python, sorted(descendants(args.pid)))]
        pids = [pid for pid in family if asking.has_agent(pid)] or family
    if args.service:
        pids = [pid for pid in pids if asking.has_agent(pid) and _service(pid, asking) == args.service]
    if not pids:
        raise no_agent(args.service, "heapwatch doctor PID looks at a process without one")
    return pids[:_MAX_PROCESSES]


def _without_agent(pid: int | None, asking: Client) -> int:
    """`pid` alone, not its workers. Failure where memray has no business."""
    if pid is None:
        raise Failure("--memray changes a process: say which", "heapwatch doctor PID --memray 3")
    if asking.has_agent(pid):
        raise Failure(
            f"process {pid} has an agent, which memray would get in the way of",
            f"heapwatch top {pid} --sort alloc/s says which lines allocate most",
        )
    return pid


def _with_memray(facts: Facts, args: argparse.Namespace) -> Facts:
    if not facts.python:
        raise Failure(f"process {facts.pid} is no Python program: memray can't look into it")
    allocated = watch_allocations(facts.pid, args.memray)
    return replace(facts, allocated=allocated, memray_seconds=args.memray)


def _service(pid: int, asking: Client) -> str:
    return str(asking.call(pid, "info")["service"])


def _text(facts: Facts, findings: Sequence[Finding]) -> str:
    lines = [_title(facts)]
    if not any(finding.severity != "note" for finding in findings):
        lines.append("Nothing urgent.")
    for number, finding in enumerate(findings, 1):
        lines += ["", *_wrapped(f"{number}. {finding.severity.upper()}: ", finding.title)]
        lines += [line for each in finding.because for line in _wrapped("   - ", each)]
        lines += _steps("   look at", finding.next)
        lines += _steps("   safe now", finding.emergency)
    return "\n".join(lines)


def _title(facts: Facts) -> str:
    status, info = facts.status, facts.agent.info if facts.agent else {}
    service = f"{info['service']}, " if info else ""
    command = cut(facts.command, 40)
    return (
        f"process {facts.pid} ({service}{command}): rss {size(status.rss)}, peak {size(status.peak)},"
        f" {count(status.threads)} thread{'s' if status.threads != 1 else ''}, up {duration(facts.uptime)}"
    )


def _steps(label: str, steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        yield f"{label}: {step.command}"
        yield from _wrapped(" " * (len(label) + 2), step.effect)


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first)) or [first]


def _memray_seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of seconds from 1 to {LONGEST}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 3600")
    return seconds
