"""`heapwatch gc PID`: look at the garbage collector, tune it, or make it work."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

from heapwatch_wire.shapes import print_json

from heapwatch.cli.cycles_text import cycles_text
from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.table import table
from heapwatch.cli.units import count, duration, size
from heapwatch.control.client import Client, ControlError
from heapwatch.gctuner.actions import FREQUENT

HELP = "show the garbage collector's state and pauses; tune, collect or freeze"
SHOWN_PAUSES = 10
SHOWN_ACTIONS = 5
LOOK = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--collect",
        action="store_const",
        const="collect",
        dest="action",
        help="run a full collection; the service pauses meanwhile, and forked workers get copies of the pages"
        " that they shared with their parent",
    )
    action.add_argument(
        "--freeze",
        action="store_const",
        const="freeze",
        dest="action",
        help="move all objects to where no collection looks at them again",
    )
    action.add_argument(
        "--tune",
        choices=("off", "observe", "act"),
        help="the tuner of the running process: off; observe says what it would do; act sets thresholds,"
        " freezes what is long-lived and collects between requests, until another --tune or the exit",
    )
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=60.0,
        metavar="S",
        help="print each pause as it happens, for S seconds (default: 60)",
    )
    parser.add_argument(
        "--cycles",
        type=float,
        nargs="?",
        const=10.0,
        metavar="S",
        help="watch full collections for S seconds (default: 10): which lines make what only they free, by"
        " which reference cycles, what would break those; with --collect, one is run if none comes by itself",
    )
    parser.set_defaults(action="stats")
    add_common(
        parser,
        "  heapwatch gc 4711\n  heapwatch gc 4711 --watch\n  heapwatch gc 4711 --collect\n"
        "  heapwatch gc 4711 --tune act\n  heapwatch gc 4711 --cycles 30\n",
    )


def run(args: argparse.Namespace) -> int:
    if args.cycles is not None:
        return _show_cycles(args)
    if args.watch is not None:
        return _watch(args)
    params = {"action": "tune", "mode": args.tune} if args.tune else {"action": args.action}
    answers = client(args).call_family(args.pid, "gc", **params)
    if args.json:
        print_json(answers)
        return 0
    print("\n\n".join(_text(pid, answer) for pid, answer in answers.items()))
    return 0


def _watch(args: argparse.Namespace) -> int:
    seen: dict[int, list[dict[str, Any]]] = {}
    asking, began = client(args), time.time()
    while time.time() < began + args.watch:
        time.sleep(min(LOOK, max(0.0, began + args.watch - time.time())))
        for pid in asking.family(args.pid):
            known = seen.setdefault(pid, [])
            since = known[-1]["time"] if known else began
            try:
                new = asking.call(pid, "gc", action="pauses", since=since)["pauses"][::-1]
            except ControlError:  # a worker that has ended since
                continue
            known += new
            if not args.json:
                for pause in new:
                    print(_pause_line(pid, pause), flush=True)
    if args.json:
        print_json(seen)
    elif not any(seen.values()):
        print(f"no collection in {duration(args.watch)}")
    return 0


def _pause_line(pid: int, pause: Mapping[str, Any]) -> str:
    when = time.strftime("%H:%M:%S", time.localtime(pause["time"]))
    stopped = "stopped a request" if pause["inside"] else "stopped nobody"
    return (
        f"{when}  process {pid}  generation {pause['generation']}  {duration(pause['seconds']):>9}  {stopped}"
    )


def _show_cycles(args: argparse.Namespace) -> int:
    asking = Client(args.runtime_dir, timeout=2 * args.cycles + 60.0)
    params = {"seconds": args.cycles, "collect": args.action == "collect"}
    answers = asking.call_family(args.pid, "cycles", **params)
    if args.json:
        print_json(answers)
        return 0
    for answer in answers.values():
        print(cycles_text(answer))
    return 0


def _text(pid: int, answer: Mapping[str, Any]) -> str:
    state = "on" if answer["enabled"] else "off"
    lines = [
        f"process {pid}: automatic collection is {state}, {count(answer['frozen'])} objects frozen,"
        f" {count(answer['uncollectable'])} in gc.garbage, rss {size(answer['rss'])}",
        _generations(answer),
    ]
    if "collected" in answer:
        freed = answer["rss_before"] - answer["rss"]
        lines.append(
            f"collected {count(answer['collected'])} objects in {duration(answer['seconds'])};"
            f" rss changed by {size(-freed)}"
        )
    lines += _quantiles(answer["pause_quantiles"])
    lines += _pauses(answer["pauses"][:SHOWN_PAUSES])
    if answer["tuner"] is not None:
        lines += _tuner(answer["tuner"])
    return "\n".join(lines)


def _generations(answer: Mapping[str, Any]) -> str:
    rows = [
        (
            str(i),
            str(threshold),
            count(now),
            count(g["collections"]),
            count(g["collected"]),
            count(g["uncollectable"]),
        )
        for i, (threshold, now, g) in enumerate(
            zip(answer["thresholds"], answer["counts"], answer["generations"], strict=True)
        )
    ]
    header = (">generation", ">threshold", ">now", ">collections", ">collected", ">uncollectable")
    return table(header, rows)


def _quantiles(quantiles: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for place, name in (("inside", "while requests ran"), ("outside", "while none ran")):
        found = quantiles.get(place, {})
        if found.get("count"):
            yield (
                f"last {count(found['count'])} pauses {name}: median {duration(found['p50'])},"
                f" p99 {duration(found['p99'])}, longest {duration(found['max'])}"
            )


def _pauses(pauses: list[Mapping[str, Any]]) -> Iterator[str]:
    if pauses:
        now = time.time()
        rows = [
            (
                duration(max(0.0, now - pause["time"])),
                str(pause["generation"]),
                duration(pause["seconds"]),
                "a request" if pause["inside"] else "nobody",
            )
            for pause in pauses
        ]
        yield table((">ago", ">generation", ">pause", "stopped"), rows)


def _tuner(tuner: Mapping[str, Any]) -> Iterator[str]:
    acting = "acts" if tuner["acting"] else tuner["waits"] and f"waits: {tuner['waits']}"
    yield f"tuner: {tuner['mode']}" + (f", {acting}" if acting else "")
    if tuner["thresholds_planned"]:
        thresholds = ", ".join(str(number) for number in tuner["thresholds_planned"])
        yield f"  plan: thresholds {thresholds}; a full collection every {duration(tuner['full_interval'])}"
    if not tuner["waiting_pays"]:
        yield "  too few moments without a request to wait for: it collects as often as CPython would"
    if tuner["rates"]:
        rates = tuner["rates"]
        yield (
            f"  measured: {count(round(rates['allocated']))} objects/s,"
            f" {rates['survival']:.1%} survive the young generation,"
            f" a full collection takes {duration(rates['full_pause'])}"
        )
    if tuner["actions"]:
        done = (
            f"{count(a['count'])} {a['kind']}{'' if a['mode'] == 'act' else ' (not done)'}"
            for a in tuner["actions"]
        )
        yield f"  actions so far: {', '.join(done)}"
    rare = [action for action in tuner["recent"] if action["kind"] not in FREQUENT]
    for action in rare[:SHOWN_ACTIONS]:
        verb = "would do" if action["mode"] == "observe" else "did"
        when = time.strftime("%H:%M:%S", time.localtime(action["time"]))
        change = f"{action['before']} -> {action['after']}"
        yield f"  {when} {verb} {action['kind']} ({action['reason']}): {change}"
