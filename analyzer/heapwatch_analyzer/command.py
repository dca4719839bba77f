"""`heapwatch analyze`: reads the collector at each interval, judges each service, writes analyses back."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from heapwatch_wire import config
from heapwatch_wire.settings import AnalyzerSettings

HELP = "judge what the collector holds: leaks, anomalies, forecasts, advice"
EXTRA = "server"

_METAVARS = {"seconds": "SECONDS", "bytes": "BYTES", "": "TEXT"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags: one per setting of AnalyzerSettings, and what this run shows."""
    for name, row in config.rows(AnalyzerSettings):
        default = f" (default: {row.default!r})" if row.default not in ("", 0) else ""
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, metavar=_METAVARS[row.unit], help=f"{row.help}{default}")
    parser.add_argument("--once", action="store_true", help="analyze once, print it, and end")
    parser.add_argument("--service", help="analyze this service only (default: all)")
    parser.add_argument(
        "--json", action="store_true", help="print each analysis as JSON, one document per line"
    )


def run(args: argparse.Namespace) -> int:
    """0 when stopped or `--once` is done; 1 when `--once` has nothing to judge; 2 for a bad value."""
    # Here, since the command line imports this module to list it, also where numpy isn't installed.
    from .client import Collector
    from .loop import Loop, ShowJson, ShowText

    names = [name for name, _ in config.rows(AnalyzerSettings)]
    try:
        settings = config.load(AnalyzerSettings, "analyzer", overrides={n: getattr(args, n) for n in names})
    except config.ConfigError as error:
        print(f"heapwatch analyze: {error}", file=sys.stderr)
        return 2
    show = ShowJson(sys.stdout) if args.json else ShowText(sys.stdout)
    loop = Loop(settings, Collector(settings.collector, settings.token), show, args.service)
    if args.once:
        return 0 if loop.look() else 1

    def stop(number: int, frame: FrameType | None) -> None:
        loop.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    loop.forever()
    return 0
