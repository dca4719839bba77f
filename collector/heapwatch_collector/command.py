"""`heapwatch serve`: the collector."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heapwatch_wire.config import ConfigError, load, rows
from heapwatch_wire.settings import CollectorSettings

HELP = "receive, store and show what agents send (the collector)"
EXTRA = "server"

_METAVARS = {"listen": "HOST:PORT", "data": "FOLDER"}


def configure(parser: argparse.ArgumentParser) -> None:
    """One option per setting of the collector."""
    for name, row in rows(CollectorSettings):
        parser.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            metavar=_METAVARS.get(name) or (row.unit or "TEXT").upper(),
            help=f"{row.help} (default: {row.default!r})".replace("%", "%%"),
        )
    parser.add_argument("--config", metavar="FILE", help="heapwatch.toml to read (default: ./heapwatch.toml)")


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; 0 after a clean stop, 2 when it can't start."""
    overrides = {name: getattr(args, name) for name, _ in rows(CollectorSettings)}
    try:
        settings = load(
            CollectorSettings,
            "collector",
            overrides=overrides,
            file=Path(args.config) if args.config else None,
        )
        # The database engine takes seconds and 200 MB: only who serves pays.
        from heapwatch_collector.server import serve
        from heapwatch_collector.store.engine import StoreError
    except ConfigError as error:
        print(f"heapwatch serve: {error}", file=sys.stderr)
        return 2
    try:
        serve(settings)
    except (ConfigError, StoreError) as error:
        print(f"heapwatch serve: {error}", file=sys.stderr)
        return 2
    return 0
