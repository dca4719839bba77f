"""`heapwatch demo`: shows a real leak being found, from an empty folder to the verdict."""

from __future__ import annotations

import argparse

HELP = "run the whole product on the reference app, with load and a real leak"
EXTRA = "all"

FAULTS = ("listeners", "cache", "threadlocal")

EXAMPLES = """\
examples:
  heapwatch demo                        a leaking listener, found and explained; stays up until Ctrl-C
  heapwatch demo --fault cache --once   another leak; stop everything after the verdict
  heapwatch demo --no-fault             the same load without a leak: must end with "no leak"

exit code: 0 when the verdict is right, 1 when it is wrong or late, 2 when something could not start
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--fault", choices=FAULTS, default="listeners", help="the leak to switch on (default: %(default)s)"
    )
    what.add_argument(
        "--no-fault", action="store_true", help="switch on no leak; the verdict must be 'no leak'"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=None,
        metavar="N",
        help="limit for the verdict after the leak's start (default: 3); with --no-fault how long to watch"
        " (default: 4)",
    )
    parser.add_argument("--once", action="store_true", help="stop after the verdict instead of staying up")
    parser.add_argument(
        "--users", type=int, default=20, metavar="N", help="simulated users (default: %(default)s)"
    )
    parser.add_argument(
        "--warmup",
        type=float,
        default=45.0,
        metavar="SECONDS",
        help="load before the leak starts (default: %(default)s)",
    )
    parser.add_argument(
        "--memory-limit",
        default="1GiB",
        metavar="SIZE",
        help="limit per worker that the forecast is made for (default: %(default)s)",
    )
    parser.add_argument(
        "--keep", metavar="DIR", help="keep the store and the logs in DIR instead of deleting them"
    )


def run(args: argparse.Namespace) -> int:
    # Imported here: `heapwatch --help` must work without rich and the app's dependencies.
    from heapwatch_app.demo.scenario import Options, play

    watch = args.minutes if args.minutes is not None else (4.0 if args.no_fault else 3.0)
    return play(
        Options(
            fault=None if args.no_fault else args.fault,
            seconds=watch * 60,
            once=args.once,
            users=args.users,
            warmup=args.warmup,
            memory_limit=args.memory_limit,
            keep=args.keep,
        )
    )
