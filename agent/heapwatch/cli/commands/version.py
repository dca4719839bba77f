"""`heapwatch version`."""

from __future__ import annotations

import argparse
import importlib.util
import platform
from importlib import metadata

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_json, explain

HELP = "show the versions of Heapwatch and Python, and whether the sampler is built"


def configure(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    explain(parser, "  heapwatch version")


def run(args: argparse.Namespace) -> int:
    sampler = importlib.util.find_spec("heapwatch._sampler")
    built = sampler is not None and sampler.has_location
    try:
        version = metadata.version("heapwatch")
    except metadata.PackageNotFoundError:
        version = "not installed (run from its source tree)"
    if args.json:
        print_json({"heapwatch": version, "python": platform.python_version(), "sampler": built})
    else:
        state = "built" if built else "not built"
        print(f"heapwatch {version}, Python {platform.python_version()}, sampler {state}")
    return 0
