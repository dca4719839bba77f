"""The options of a load run, for the command line and for the process that makes the load."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options to `parser`."""
    parser.add_argument("--host", required=True, help="address of the service, such as http://127.0.0.1:8000")
    parser.add_argument("--users", type=_positive, default=20, help="users at once (default: 20)")
    parser.add_argument(
        "--rate", type=float, default=30.0, help="requests per second of all users together (default: 30)"
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="how long; 0, the default, until Ctrl-C")
    parser.add_argument("--json-stats", metavar="FILE", help="write one JSON object per second to FILE")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
