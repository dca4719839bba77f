"""`heapwatch top PID`: the sites with most live memory, refreshed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from heapwatch_wire.evidence import Call

from heapwatch.cli.commands.ps import agents_table
from heapwatch.cli.options import add_common, add_pid, client, print_json
from heapwatch.cli.render import site_table
from heapwatch.cli.units import count, signed_size, size

HELP = "show the allocation sites with most live memory, and how they grow"

_CLEAR = "\x1b[H\x1b[J"
_SUMMED = ("live_bytes", "live_objects", "alloc_bytes", "alloc_objects", "inherited_bytes", "growth")


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument("--once", action="store_true", help="print once instead of refreshing until Ctrl-C")
    parser.add_argument(
        "--interval", type=float, default=2.0, metavar="S", help="seconds between refreshes (default: 2)"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="sites shown (default: 20)")
    add_common(parser, "  heapwatch top 4711\n  heapwatch top 4711 --once --limit 5\n")


def run(args: argparse.Namespace) -> int:
    asking = client(args)
    before: Mapping[str, Any] = {}
    while True:
        # Asked anew each time: workers come and go.
        answers = list(asking.call_family(args.pid, "top", limit=1000).values())
        now = combine(answers)
        if args.json:
            print_json({"processes": answers, "sites": now["sites"][: args.limit]})
        else:
            print((_CLEAR if _refreshes(args) else "") + screen(answers, now, before, args.limit))
        if args.once or args.json:
            return 0
        before = now
        sys.stdout.flush()
        time.sleep(max(0.2, args.interval))


def combine(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sites of all processes, those of the same place added up, the largest first."""
    sites: dict[str, dict[str, Any]] = {}
    for answer in answers:
        for site in answer["sites"]:
            known = sites.setdefault(site["id"], {**site, **dict.fromkeys(_SUMMED, 0.0)})
            for key in _SUMMED:
                known[key] += site[key]
    ordered = sorted(sites.values(), key=lambda site: -site["live_bytes"])
    return {"time": max(a["time"] for a in answers), "sites": ordered}


def screen(
    answers: Sequence[Mapping[str, Any]], now: Mapping[str, Any], before: Mapping[str, Any], limit: int
) -> str:
    """The processes, then the sites; allocation rates need the numbers of one refresh before."""
    known = {site["id"]: site for site in before.get("sites", ())}
    shown = now["sites"][:limit]
    seconds = now["time"] - before.get("time", now["time"])
    columns = {
        ">live": [size(site["live_bytes"]) for site in shown],
        ">inherited": [size(site["inherited_bytes"]) for site in shown],
        ">objects": [count(site["live_objects"]) for site in shown],
        ">growth/min": [signed_size(site["growth"] * 60) for site in shown],
        ">alloc/s": [_rate(site, known.get(site["id"]), seconds) for site in shown],
        "site": [site["id"] for site in shown],
    }
    if not any(site["inherited_bytes"] for site in shown):
        del columns[">inherited"]
    places = [Call(site["function"], site["file"], site["line"]) for site in shown]
    sites = site_table(list(columns), list(zip(*columns.values(), strict=True)), places)
    return f"{agents_table(answers)}\n\n{sites}"


def _rate(site: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: float) -> str:
    if before is None or seconds <= 0:
        return "-"
    return size(max(0.0, site["alloc_bytes"] - before["alloc_bytes"]) / seconds)


def _refreshes(args: argparse.Namespace) -> bool:
    return not args.once and sys.stdout.isatty()
