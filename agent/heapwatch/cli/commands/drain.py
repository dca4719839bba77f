"""`heapwatch drain PID`: a worker finishes what runs and ends, for its manager to start another."""

from __future__ import annotations

import argparse

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, client, pid_argument
from heapwatch.cli.units import duration

HELP = "have one worker finish its requests and end, for its manager to start another"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pid",
        type=pid_argument,
        metavar="PID",
        help="a worker with an agent; of a server's main process the workers are not taken",
    )
    add_common(parser, "  heapwatch drain 4711\n")


def run(args: argparse.Namespace) -> int:
    answer = client(args).call(args.pid, "drain")
    if args.json:
        print_json(answer)
        return 0
    if not answer["begun"]:
        print(f"process {args.pid} drains already")
        return 0
    then = (
        "accepts no more, finishes what runs and ends"
        if answer["graceful"]
        else "refuses new requests, and ends when none runs; nobody handles the signal"
    )
    print(
        f"process {args.pid}: not ready from now on, {answer['running']} requests run; in"
        f" {duration(answer['grace'])} it gets {answer['signal']}, {then}"
    )
    return 0
