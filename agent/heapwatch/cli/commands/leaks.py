"""`heapwatch leaks PID`, `heapwatch leaks --service NAME`: what grows, with the evidence."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from heapwatch_wire.evidence import Evidence, Growth, from_json, to_json
from heapwatch_wire.native import OUTSIDE_ID, joined
from heapwatch_wire.shapes import print_json

from heapwatch.cli.collector import Collector
from heapwatch.cli.options import Failure, add_common, add_pid, client
from heapwatch.cli.render import evidence_table, evidence_text
from heapwatch.cli.units import duration, size
from heapwatch.control.client import workers

HELP = "show which allocation sites grow, what holds their objects, and why we believe it"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser, optional=True)
    parser.add_argument(
        "--service",
        default="",
        metavar="NAME",
        help="instead of a process: all processes of a service, as the collector's latest analysis judges",
    )
    parser.add_argument("--version", default="", metavar="V", help="with --service: only of this version")
    parser.add_argument(
        "--collector",
        default="",
        metavar="URL",
        help="with --service: where the collector is (default: HEAPWATCH_COLLECTOR, or http://127.0.0.1:4040)",
    )
    parser.add_argument("--brief", action="store_true", help="print the table only")
    add_common(
        parser,
        "  heapwatch leaks 4711\n  heapwatch leaks 4711 --json | jq '.documents[0].site'\n"
        "  heapwatch leaks --service shop\n",
    )


def run(args: argparse.Namespace) -> int:
    if bool(args.service) == (args.pid is not None):
        raise Failure(
            "name either a process or a service", "heapwatch leaks PID, or heapwatch leaks --service NAME"
        )
    if args.service:
        documents, heads = Collector(args.collector).leaks(args.service, args.version)
        documents.sort(key=lambda d: (d.verdict != "leak", -d.growth.bytes_per_second))
        nothing = "" if heads else f"Nothing is known to grow in {args.service}; has it sent anything yet?"
    else:
        answers = client(args).call_willing(args.pid, "leaks")
        working = workers(answers)
        # A server's main process that waits for its workers is none of those that could leak.
        judged = [a["documents"] for pid, a in answers.items() if pid in working or a["documents"]]
        documents = combine([[from_json(Evidence, d) for d in found] for found in judged])
        heads, nothing = [], _nothing(list(answers.values()))
    if args.json:
        print_json({"documents": [to_json(d) for d in documents]})
    elif not documents:
        print("\n".join(filter(None, [*heads, nothing])))
    else:
        print("\n".join([*heads, evidence_table(documents)]))
        for document in documents if not args.brief else ():
            print("\n" + evidence_text(document))
    return 0


def combine(processes: Sequence[Sequence[Evidence]]) -> list[Evidence]:
    """One document per site from those of several processes, the fastest growth first."""
    sites: dict[str, list[Evidence]] = defaultdict(list)
    for documents in processes:
        for document in documents:
            sites[document.site.id].append(document)
    merged = [
        joined(group, len(processes)) if site == OUTSIDE_ID else _merge(group, len(processes))
        for site, group in sites.items()
    ]
    return sorted(merged, key=lambda d: -d.growth.bytes_per_second)


def _merge(group: Sequence[Evidence], processes: int) -> Evidence:
    """The document with the surest verdict, growth and live memory added up."""
    best = max(group, key=lambda d: (d.verdict == "leak", bool(d.holders), d.growth.bytes_per_second))
    return replace(
        best,
        growth=Growth.total([d.growth for d in group]),
        live_bytes=sum(d.live_bytes for d in group),
        live_objects=sum(d.live_objects for d in group),
        instances=processes,
        growing=len(group),
    )


def _nothing(answers: Sequence[Mapping[str, Any]]) -> str:
    youngest = min(a["uptime"] for a in answers)
    lines = [f"Nothing grows in {len(answers)} process{'es' if len(answers) > 1 else ''}:"]
    lines += [
        f"  {a['pid']}: live heap {size(a['live_bytes'])}, rss {size(a['rss'])}, up {duration(a['uptime'])}"
        for a in answers
    ]
    if youngest < 180:
        lines.append("A steady leak shows after two to three minutes of load: look again then.")
    return "\n".join(lines)
