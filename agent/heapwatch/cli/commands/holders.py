"""`heapwatch holders PID --site N`: what keeps the objects of a site alive."""

from __future__ import annotations

import argparse
import time
from typing import Any

from heapwatch_wire.evidence import Holder, Site, from_json
from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import Failure, add_common, add_pid, client
from heapwatch.cli.render import holders_text
from heapwatch.cli.top.history import History
from heapwatch.cli.top.reading import read
from heapwatch.control.client import Client

HELP = "search what holds the objects that a site allocated"


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument(
        "--site",
        required=True,
        metavar="N",
        help="the site's id, as top and leaks show it, or its number: 1 is the site with most live memory",
    )
    add_common(
        parser, "  heapwatch holders 4711 --site 3f2a9c0d11e84b56\n  heapwatch holders 4711 --site 1\n"
    )


def run(args: argparse.Namespace) -> int:
    asking = client(args)
    site = _identifier(asking, args.pid, args.site)
    found = asking.call_willing(args.pid, "holders", site=site)
    if args.json:
        print_json(found)
        return 0
    for pid, answer in found.items():
        print((f"process {pid}: " if len(found) > 1 else "") + _text(answer))
    return 0


def _identifier(asking: Client, pid: int, site: str) -> str:
    """The id of the site with a number in the table of `heapwatch top`; an id as it is."""
    if not site.isdecimal() or len(site) > 4:
        return site
    sites = History().view(read(asking, asking.family(pid)), time.time()).sites
    if not 1 <= int(site) <= len(sites):
        raise Failure(
            f"there is no site number {site}", f"there are {len(sites)}: see heapwatch top {pid} --once"
        )
    return sites[int(site) - 1].id


def _text(answer: Any) -> str:
    return holders_text(
        from_json(Site, answer["site"]),
        str(answer["type"]),
        [from_json(Holder, h) for h in answer["holders"]],
        [str(reason) for reason in answer["reasons"]],
    )
