"""`heapwatch diff BEFORE AFTER`: what grew and shrank between two profiles."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heapwatch.cli.commands.report import add_type
from heapwatch.cli.files import read_profile, write_file
from heapwatch.cli.options import Failure, add_json, explain
from heapwatch.cli.units import size
from heapwatch.report.diff import Comparison
from heapwatch.report.flame import differential
from heapwatch.report.formats import by_name

HELP = "compare two heap profiles: which sites grew and shrank"

EXAMPLES = """\
  heapwatch snapshot 4711 -o before.pb.gz
  heapwatch snapshot 4711 -o after.pb.gz
  heapwatch diff before.pb.gz after.pb.gz
  heapwatch diff before.pb.gz after.pb.gz -o diff.html   a flame graph: red grew, blue shrank

A site is the innermost line outside of Python's standard library.
exit code: 0 done, 1 it could not be done, 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="BEFORE", help="a pprof file")
    parser.add_argument("after", metavar="AFTER", help="a later one, or of another version")
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="file to write: .html (flame graph), .json or .txt"
    )
    add_json(parser)
    add_type(parser)
    explain(parser, EXAMPLES)


def run(args: argparse.Namespace) -> int:
    form = _form(args)
    before, after = read_profile(args.before), read_profile(args.after)
    try:
        comparison = Comparison(before, after, args.type)
    except ValueError as error:
        raise Failure(
            f"{args.before} and {args.after} can't be compared: {error}", "choose with --type"
        ) from None
    if form == "html":
        title = f"{Path(args.before).name} → {Path(args.after).name}"
        text = differential(before, after, comparison.shared(), title)
    else:
        text = comparison.to_json() if form == "json" else comparison.table() + "\n"
    if not args.output:
        sys.stdout.write(text)
        return 0
    print(f"{args.output}: {form}, {size(write_file(args.output, text))}")
    return 0


def _form(args: argparse.Namespace) -> str:
    named = by_name(args.output) if args.output else "table"
    form = "json" if args.json else named
    if form not in ("html", "json", "table"):
        raise Failure(
            f"a comparison can't be written as {args.output}", "end the name in .html, .json or .txt"
        )
    return form
