"""`heapwatch report PROFILE`: a profile as a table, a flame graph, or another tool's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heapwatch.cli.files import read_profile, write_file
from heapwatch.cli.options import Failure, add_json, explain
from heapwatch.cli.units import size
from heapwatch.report.formats import SUFFIXES, WRITERS, by_name
from heapwatch.report.kinds import choose

HELP = "show a heap profile: table, flame graph (HTML, SVG), folded stacks, speedscope, JSON"

EXAMPLES = """\
  heapwatch report heap.pb.gz                          the lines and stacks that hold most, as text
  heapwatch report heap.pb.gz -o heap.html             a flame graph in one file, for any browser
  heapwatch report heap.pb.gz --type alloc_space       what was allocated, instead of what lives
  heapwatch report heap.pb.gz -o heap.speedscope.json  for speedscope

Takes any producer's pprof: Heapwatch, Go, Pyroscope.
exit code: 0 done, 1 it could not be done, 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="a pprof file, gzipped or not")
    parser.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help=f"file to write; its ending tells the format: {SUFFIXES}",
    )
    parser.add_argument("--format", choices=list(WRITERS), help="format, when FILE's ending doesn't tell it")
    add_json(parser)
    add_type(parser)
    explain(parser, EXAMPLES)


def add_type(parser: argparse.ArgumentParser) -> None:
    """--type, the sample type."""
    parser.add_argument(
        "--type",
        default="",
        metavar="TYPE",
        help="sample type: inuse_space, inuse_objects, alloc_space, alloc_objects, or what else the "
        "profile has (default: inuse_space, else the profile's own default)",
    )


def run(args: argparse.Namespace) -> int:
    form = "json" if args.json else args.format or _form(args.output)
    profile = read_profile(args.profile)
    try:
        kind = choose(profile, args.type)
    except ValueError as error:
        raise Failure(f"{args.profile}: {error}", "choose one of these with --type") from None
    text = WRITERS[form](profile, kind, Path(args.profile).name)
    if not args.output:
        sys.stdout.write(text)
        return 0
    written = write_file(args.output, text)
    print(f"{args.output}: {form}, {size(written)}")
    return 0


def _form(output: str) -> str:
    if not output:
        return "table"
    form = by_name(output)
    if form is None:
        raise Failure(
            f"the name {output} doesn't tell a format", f"end it in one of {SUFFIXES}, or give --format"
        )
    return form
