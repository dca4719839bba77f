"""`heapwatch memory PID`: where every byte of a process is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import Failure, add_common, add_pid, client
from heapwatch.cli.table import table
from heapwatch.cli.units import count, duration, share, signed_size, size
from heapwatch.control.client import ControlError
from heapwatch.memory.breakdown import PARTS, divide
from heapwatch.memory.mappings import HEAP_KINDS, read_mappings
from heapwatch.process import ProcessReader

HELP = "divide a process's memory into parts that sum to its RSS"

_CLASSES_SHOWN = 8


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument(
        "--classes",
        action="store_true",
        help="show all of pymalloc's size classes, not only those with most free memory",
    )
    add_common(parser, "  heapwatch memory 4711\n  heapwatch memory 4711 --json\n")


def run(args: argparse.Namespace) -> int:
    answers = _answers(args)
    if args.json:
        print_json(answers)
        return 0
    texts = [_text(pid, answer, args.classes) for pid, answer in answers.items()]
    if len(answers) > 1:
        texts.insert(0, _family(answers))
    print("\n\n".join(texts))
    return 0


def _answers(args: argparse.Namespace) -> dict[int, Any]:
    try:
        return client(args).call_family(args.pid, "memory")
    except ControlError as absent:
        try:
            return {args.pid: _from_outside(args.pid)}
        except PermissionError:
            raise Failure(
                f"process {args.pid} can't be read: permission denied", "run the command as its owner"
            ) from None
        except OSError:
            raise absent from None


def _from_outside(pid: int) -> Mapping[str, Any]:
    """What the kernel alone knows of a process without an agent."""
    breakdown = divide(read_mappings(process=str(pid)))
    return {**breakdown.to_json(), "peak": ProcessReader(process=str(pid)).resident().highest}


def _text(pid: int, answer: Mapping[str, Any], all_classes: bool) -> str:
    rss = answer["rss"]
    lines = [
        f"process {pid}: rss {size(rss)}, peak {size(answer['peak'])}, swap {size(answer['swap'])};"
        f" {share(answer['explained'])} explained",
        table(
            (">share", ">resident", "part", ""),
            [
                (share(part / rss if rss else 0), size(part), name, PARTS.get(name, ""))
                for name, part in sorted(answer["parts"].items(), key=_unexplained_last)
            ],
        ),
        "",
        _pages(answer["mappings"]),
    ]
    for name, value in answer["fragmentation"].items():
        lines.append(f"{name} holds {share(value)} unused")
    if answer["malloc"] is not None:
        lines.append(f"malloc is {answer['malloc']['allocator']}'s")
        lines.append(f"heapwatch trim {pid} would give back {size(answer['trimmable'])}")
    if answer["pymalloc"] is not None:
        lines += ["", _classes(answer["pymalloc"]["classes"], all_classes)]
    if answer.get("phases"):
        lines += ["", _phases(answer["phases"])]
    if answer["unknown"]:
        lines.append(
            f"Not told apart: {', '.join(answer['unknown'])}. With an agent in the process they are."
        )
    return "\n".join(lines)


def _family(answers: Mapping[int, Mapping[str, Any]]) -> str:
    """What processes of one family still share: pages of the heap are, until somebody writes to them."""
    rows = []
    for pid, answer in answers.items():
        heap = [pages for kind, pages in answer["mappings"].items() if kind in HEAP_KINDS]
        shared = sum(pages["shared_clean"] + pages["shared_dirty"] for pages in heap)
        private = sum(pages["private_clean"] + pages["private_dirty"] for pages in heap)
        pss = sum(pages["pss"] for pages in answer["mappings"].values())
        rows.append((str(pid), size(answer["rss"]), size(pss), size(shared), size(private)))
    total = sum(pages["pss"] for answer in answers.values() for pages in answer["mappings"].values())
    header = (">process", ">rss", ">its share (PSS)", ">heap shared", ">heap private")
    return f"{table(header, rows)}\n{len(answers)} processes use {size(total)} together"


def _unexplained_last(part: tuple[str, int]) -> tuple[bool, int]:
    return part[0] == "unexplained", -part[1]


def _pages(mappings: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        (
            size(pages["rss"]),
            size(pages["private_dirty"]),
            size(pages["private_clean"]),
            size(pages["shared_dirty"]),
            size(pages["shared_clean"]),
            kind,
        )
        for kind, pages in sorted(mappings.items(), key=lambda item: -item[1]["rss"])
        if pages["rss"]
    ]
    header = (">resident", ">private dirty", ">clean", ">shared dirty", ">clean", "mappings")
    return table(header, rows)


def _phases(phases: Mapping[str, Mapping[str, Any]]) -> str:
    """The phases that the service names, the highest peak first."""
    rows = [
        (
            size(runs["peak"]),
            signed_size(runs["growth"]),
            count(runs["runs"]),
            duration(runs["seconds"] / runs["runs"]),
            name,
        )
        for name, runs in sorted(phases.items(), key=lambda item: -item[1]["peak"])
    ]
    return table((">highest rss", ">growth of the last", ">runs", ">mean", "phase"), rows)


def _classes(classes: list[Mapping[str, int]], all_classes: bool) -> str:
    ordered = classes if all_classes else sorted(classes, key=lambda c: -c["free"] * c["size"])
    rows = [
        (
            str(c["size"]),
            count(c["used"]),
            size(c["used"] * c["size"]),
            count(c["free"]),
            size(c["free"] * c["size"]),
        )
        for c in ordered[: None if all_classes else _CLASSES_SHOWN]
    ]
    return table((">pymalloc blocks of", ">used", ">bytes", ">free", ">bytes"), rows)
