"""`heapwatch version`, and `heapwatch --version`."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_json, explain
from heapwatch.sampler import unavailable

HELP = "show the versions of Heapwatch and Python, and whether the sampler loads"


def configure(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    explain(parser, "  heapwatch version\n  heapwatch --version        the same")


def run(args: argparse.Namespace) -> int:
    if args.json:
        reason = unavailable()
        own = {"heapwatch": _installed(), "python": platform.python_version()}
        print_json({**own, "sampler": not reason, "no_sampler": reason})
    else:
        print(line())
    return 0


def line() -> str:
    """The versions and the state of the sampler."""
    reason = unavailable()
    sampler = f"no sampler: {reason}" if reason else "sampler loads"
    return f"heapwatch {_installed()}, Python {platform.python_version()}, {sampler}"


def _installed() -> str:
    try:
        return metadata.version("heapwatch")
    except metadata.PackageNotFoundError:
        return "not installed (run from its source tree)"
