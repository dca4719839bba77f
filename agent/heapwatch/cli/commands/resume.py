"""`heapwatch resume PID`: sample again after `heapwatch pause PID`."""

from __future__ import annotations

import argparse

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.units import size

HELP = "sample allocations again after pause"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    add_common(parser, "  heapwatch resume 4711\n")


def run(args: argparse.Namespace) -> int:
    answers = client(args).call_family(args.pid, "resume")
    if args.json:
        print_json(answers)
        return 0
    for pid, answer in answers.items():
        print(f"process {pid}: samples again, one for each {size(answer['interval'])} on average")
    return 0
