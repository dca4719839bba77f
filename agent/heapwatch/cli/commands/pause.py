"""`heapwatch pause PID`: take no samples until `heapwatch resume PID`."""

from __future__ import annotations

import argparse

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.units import count

HELP = "stop sampling allocations in a running process, until resume"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    add_common(parser, "  heapwatch pause 4711\n")


def run(args: argparse.Namespace) -> int:
    answers = client(args).call_family(args.pid, "pause")
    if args.json:
        print_json(answers)
        return 0
    for pid, answer in answers.items():
        known = count(answer["live_samples"])
        print(
            f"process {pid}: paused; the {known} live samples are still followed, new memory isn't seen"
            f" until: heapwatch resume {pid}"
        )
    return 0
