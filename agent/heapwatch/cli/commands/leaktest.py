"""`heapwatch leaktest FILE.py`: does this code leak, how much a step, where, held by what."""

from __future__ import annotations

import argparse
import math
import sys
import time

from heapwatch_wire.shapes import print_json

from heapwatch.cli.leaktest_text import text
from heapwatch.cli.options import add_json, explain
from heapwatch.leaktest.plan import STEPS, TIMEOUT, Plan, default_warmup
from heapwatch.leaktest.report import to_json
from heapwatch.leaktest.runner import TestFailed
from heapwatch.leaktest.runner import run as run_test

HELP = "run a piece of code many times and say whether it leaks, where, and what holds it"

EXAMPLES = """\
  heapwatch leaktest checkout.py
  heapwatch leaktest checkout.py --steps 10000 --json

The file defines what to run:
  def setup(): ...        once, before the first step (may be left out)
  def step(i): ...        one unit of work; i counts from 0; may be async
What the file prints goes to stderr. Exit code: 0 no leak, 1 leak, 2 it could not be tested,
130 interrupted (Ctrl-C).
"""
_BAR = 30
_REDRAWN_EVERY = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.py", help="a Python file with step(i) and maybe setup()")
    parser.add_argument(
        "--steps",
        type=_positive,
        default=STEPS,
        metavar="N",
        help=f"steps to measure; up to three times as many are run when undecided (default: {STEPS})",
    )
    parser.add_argument(
        "--warmup",
        type=_count,
        metavar="N",
        help="steps before measuring, to fill caches and pools (default: a fifth of the steps)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"what loading the file, setup() or one step may take; 0: no limit (default: {TIMEOUT:g})",
    )
    parser.add_argument(
        "--fixed-seed",
        type=_count,
        metavar="N",
        help="seed of random, numpy.random and string hashes, so that each run is the same",
    )
    add_json(parser)
    explain(parser, EXAMPLES)


def run(args: argparse.Namespace) -> int:
    warmup = default_warmup(args.steps) if args.warmup is None else args.warmup
    plan = Plan(args.file, args.steps, warmup, args.fixed_seed, timeout=args.timeout)
    bar = _Bar(sys.stderr.isatty())
    try:
        report = run_test(plan, bar.show)
    except TestFailed as error:
        bar.clear()
        print(f"heapwatch: {error}", file=sys.stderr)
        if error.mend:
            print(f"  {error.mend}", file=sys.stderr)
        return 2
    finally:
        bar.clear()
    if args.json:
        print_json(to_json(report))
    else:
        print(text(report, args.file))
    return 1 if report.leak else 0


class _Bar:
    """A progress bar on stderr, when that is a terminal."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._drawn = 0.0

    def show(self, done: int, of: int) -> None:
        """Draw `done` of `of` steps."""
        now = time.monotonic()
        if self._wanted and now - self._drawn >= _REDRAWN_EVERY:
            self._drawn = now
            filled = round(_BAR * done / of)
            print(
                f"\r[{'#' * filled:<{_BAR}}] {done:,} of {of:,} steps ", end="", file=sys.stderr, flush=True
            )

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of steps: give one above 0")
    return int(value)


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} is no number: give 0 or more")
    return int(value)


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{value!r} is no time: give seconds, 0 for no limit")
    return seconds
