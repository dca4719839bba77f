"""`heapwatch top [PID]`: processes, sites, garbage collections and endpoints, refreshed."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Protocol

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import Failure, add_common, no_agent, pid_argument
from heapwatch.cli.top import plain
from heapwatch.cli.top.history import History
from heapwatch.cli.top.keys import ESCAPE, TAB, keys
from heapwatch.cli.top.reading import read
from heapwatch.cli.top.screen import SECTIONS, Choice, Table, sorts, tables, title
from heapwatch.cli.top.view import View
from heapwatch.control.client import Client

HELP = "watch processes live: memory, allocation sites, garbage collections, endpoints"

ANSWER_LIMIT = 5.0
"""Seconds that an agent has for each answer."""
_SHORTEST = 0.2
_FOOT = "1 sites  2 gc  3 endpoints  Tab next  s sort  Space now  q quit"
_ORDER = list(SECTIONS)
_ALL_SORTS = ", ".join(f"{name}: {'|'.join(sorts(name))}" for name in SECTIONS)


class Display(Protocol):
    """What draws tables on a terminal."""

    def draw(self, title: str, tables: list[Table], foot: str, width: int) -> None: ...


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "pid",
        nargs="?",
        type=pid_argument,
        metavar="PID",
        help="a process with an agent; of a server's main process, its workers are taken too (default: all"
        " processes of this user that have an agent, of root everybody's)",
    )
    parser.add_argument("--service", default="", metavar="NAME", help="only processes of this service")
    parser.add_argument(
        "--section", choices=_ORDER, help="show this one (default: sites on a terminal, else all)"
    )
    parser.add_argument(
        "--sort", default="", metavar="COLUMN", help=f"order by this column, the first is usual; {_ALL_SORTS}"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="rows of a section (default: 20)")
    parser.add_argument(
        "--interval", type=float, default=2.0, metavar="S", help="seconds between refreshes (default: 2)"
    )
    parser.add_argument("--once", action="store_true", help="print once and end, as into a pipe")
    parser.add_argument(
        "--watch", action="store_true", help="go on into a pipe too; with --json, a document a line"
    )
    add_common(
        parser,
        "  heapwatch top\n  heapwatch top 4711 --section endpoints --sort retained\n"
        "  heapwatch top 4711 --once --limit 5\n  heapwatch top --json --watch --interval 10\n\n"
        f"keys: {_FOOT}\n"
        "Rates are since the agent's start when printed once, else of the last minute at most. A cell that\n"
        "ends in \"!\" is worth a look. With rich (pip install 'heapwatch[top]') a terminal shows colours,\n"
        "unless NO_COLOR is set.\n",
    )


def run(args: argparse.Namespace) -> int:
    if args.sort and not any(args.sort in sorts(name) for name in _chosen_sections(args)):
        raise Failure(f"there is no column {args.sort} to order by", f"there are {_ALL_SORTS}")
    asking, history = Client(args.runtime_dir, ANSWER_LIMIT), History()
    if sys.stdout.isatty() and not args.once and not args.json:
        return _live(args, asking, history)
    choice = Choice(args.section or "", args.sort, args.limit)
    while True:
        view = _view(args, asking, history)
        if args.json:
            _print(view, args)
        else:
            width = max(100, shutil.get_terminal_size((120, 40)).columns)
            print(plain.text(title(view), tables(view, choice, width), width), flush=True)
        if args.once or not args.watch:
            return 0
        time.sleep(max(_SHORTEST, args.interval))
        print("" if args.json else "\n", end="")


def _print(view: View, args: argparse.Namespace) -> None:
    shown = asdict(view)
    for name in SECTIONS:
        shown[name] = shown[name][: args.limit]
    if args.watch:
        print(json.dumps(shown), flush=True)
    else:
        print_json(shown)


def _live(args: argparse.Namespace, asking: Client, history: History) -> int:
    choice = Choice(args.section or _ORDER[0], args.sort, args.limit)
    with _display() as display, keys() as pressed:
        while True:
            due = time.monotonic() + max(_SHORTEST, args.interval)
            view = _view(args, asking, history)
            while True:
                _draw(display, view, choice)
                key = pressed.wait(max(0.0, due - time.monotonic()))
                if key in ("q", ESCAPE):
                    return 0
                if key in ("", " "):
                    break
                choice = _after(key, choice)


def _after(key: str, choice: Choice) -> Choice:
    """What is shown after `key` was pressed."""
    at = _ORDER.index(choice.section)
    if key in "123":
        return replace(choice, section=_ORDER[int(key) - 1], sort="")
    if key == TAB:
        return replace(choice, section=_ORDER[(at + 1) % len(_ORDER)], sort="")
    if key == "s":
        names = sorts(choice.section)
        now = names.index(choice.sort) if choice.sort in names else 0
        return replace(choice, sort=names[(now + 1) % len(names)])
    return choice


def _draw(display: Display, view: View, choice: Choice) -> None:
    width, height = shutil.get_terminal_size()
    processes = max(3, height // 3)
    room = height - min(processes, len(view.processes)) - 9
    fitting = replace(choice, limit=max(1, min(choice.limit, room)), processes=processes)
    display.draw(title(view), tables(view, fitting, width), _FOOT, width)


def _view(args: argparse.Namespace, asking: Client, history: History) -> View:
    # Asked anew each time: workers come and go.
    pids = asking.agents() if args.pid is None else asking.family(args.pid)
    readings = read(asking, pids)
    if args.service:
        readings = [reading for reading in readings if reading.info.get("service") == args.service]
    if not readings:
        raise no_agent(
            args.service,
            "heapwatch run -- COMMAND starts one with it, heapwatch attach PID puts it into one that runs",
        )
    return history.view(readings, time.time())


def _display() -> AbstractContextManager[Display]:
    try:
        # Only here: the base installation has the standard library alone.
        from rich.console import Console

        from heapwatch.cli.top.colours import RichScreen
    except ModuleNotFoundError:
        return plain.PlainScreen()
    return RichScreen(Console())


def _chosen_sections(args: argparse.Namespace) -> list[str]:
    return [args.section] if args.section else _ORDER
