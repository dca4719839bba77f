"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import json
from typing import Any

from heapwatch.control.client import Client


class Failure(Exception):
    """A command that can't do its work; the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


def add_pid(parser: argparse.ArgumentParser) -> None:
    """PID of a process with an agent, or of one whose children have agents."""
    parser.add_argument(
        "pid",
        type=_pid,
        metavar="PID",
        help="a process with an agent; of a server's main process, its workers are taken too",
    )


def add_common(parser: argparse.ArgumentParser, examples: str) -> None:
    """--json and --runtime-dir, and examples below the help."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--runtime-dir",
        default="",
        metavar="DIR",
        help="folder of the control sockets, when the service was started with HEAPWATCH_RUNTIME_DIR",
    )
    parser.epilog = f"examples:\n{examples}\nexit code: 0 done, 1 it could not be done, 2 wrong usage"


def client(args: argparse.Namespace) -> Client:
    """A client for the arguments of `add_common`."""
    return Client(args.runtime_dir)


def print_json(value: Any) -> None:
    """`value` as indented JSON."""
    print(json.dumps(value, indent=2))


def _pid(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no process id; heapwatch ps lists those with an agent")
    return int(text)
