"""`heapwatch holders PID --site ID`: what keeps the objects of a site alive."""

from __future__ import annotations

import argparse

from heapwatch_wire.evidence import Holder, Site, from_json

from heapwatch.cli.options import add_common, add_pid, client, print_json
from heapwatch.cli.render import holders_text
from heapwatch.control.client import ControlError

HELP = "search what holds the objects that a site allocated"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument("--site", required=True, metavar="ID", help="site id, as top and leaks show it")
    add_common(parser, "  heapwatch holders 4711 --site 3f2a9c0d11e84b56\n")


def run(args: argparse.Namespace) -> int:
    asking = client(args)
    pids = asking.family(args.pid)
    found, refused = {}, None
    for pid in pids:
        try:
            found[pid] = asking.call(pid, "holders", site=args.site)
        except ControlError as error:
            refused = error
    if not found and refused is not None:
        raise refused
    if args.json:
        print_json(found)
        return 0
    for pid, answer in found.items():
        heading = f"process {pid}: " if len(found) > 1 else ""
        print(
            heading
            + holders_text(
                from_json(Site, answer["site"]),
                str(answer["type"]),
                [from_json(Holder, h) for h in answer["holders"]],
                [str(reason) for reason in answer["reasons"]],
            )
        )
    return 0
