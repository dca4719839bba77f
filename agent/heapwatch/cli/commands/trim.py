"""`heapwatch trim PID`: give memory that malloc keeps unused back to the kernel."""

from __future__ import annotations

import argparse

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.units import duration, size

HELP = "give memory that malloc keeps unused back to the kernel"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    add_common(parser, "  heapwatch trim 4711\n")


def run(args: argparse.Namespace) -> int:
    answers = client(args).call_family(args.pid, "trim")
    if args.json:
        print_json(answers)
        return 0
    for pid, answer in answers.items():
        freed = answer["rss_before"] - answer["rss"]
        print(
            f"process {pid}: rss {size(answer['rss_before'])} -> {size(answer['rss'])}"
            f" ({size(freed)} given back in {duration(answer['seconds'])})"
        )
    return 0
