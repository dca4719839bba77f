"""`heapwatch requests PID`: what the endpoints of a service take, and which repeat their statements."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from heapwatch_wire.shapes import print_json

from heapwatch.cli.options import add_common, add_pid, client
from heapwatch.cli.table import WIDTH, cut, table
from heapwatch.cli.units import count, size

HELP = "show what requests, tasks and jobs allocate, keep and wait for, by endpoint"

SORTS = ("seconds", "allocated", "retained", "live", "cpu", "gc", "statements", "requests")
_NAME_WIDTH = 34
_SUMS = ("requests", "seconds", "allocated", "retained", "peak", "live", "cpu", "cpu_requests", "gc")
_MORE_SUMS = ("statements", "statement_seconds", "template_seconds")


def configure(parser: argparse.ArgumentParser) -> None:
    add_pid(parser)
    parser.add_argument(
        "--sort",
        choices=SORTS,
        default="allocated",
        help="what the first endpoints have most of, in sum (default: allocated)",
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="endpoints shown (default: 20)")
    add_common(parser, "  heapwatch requests 4711\n  heapwatch requests 4711 --sort statements\n")


def run(args: argparse.Namespace) -> int:
    answers = client(args).call_willing(args.pid, "requests")
    endpoints = merge(endpoint for answer in answers.values() for endpoint in answer["endpoints"])
    endpoints.sort(key=lambda endpoint: -endpoint[args.sort])
    if args.json:
        print_json({"pids": list(answers), "endpoints": endpoints[: args.limit]})
    else:
        print(text(endpoints[: args.limit]))
    return 0


def merge(endpoints: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sums over processes."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for endpoint in endpoints:
        name, kind = endpoint["name"], endpoint["kind"]
        total = found.setdefault((name, kind), {"name": name, "kind": kind, "repeated": []})
        for key in (*_SUMS, *_MORE_SUMS):
            total[key] = total.get(key, 0) + endpoint[key]
        total["repeated"] = _merge_repeats([*total["repeated"], *endpoint["repeated"]])
    return list(found.values())


def _merge_repeats(repeats: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for repeat in repeats:
        known = found.setdefault((repeat["statement"], repeat["line"]), {**repeat, "requests": 0})
        known["requests"] += repeat["requests"]
        known["most"] = max(known["most"], repeat["most"])
    return list(found.values())


def text(endpoints: Sequence[Mapping[str, Any]]) -> str:
    """Averages of one request, then the repeated statements."""
    if not endpoints:
        return "No request, task or job has ended yet."
    header = ["endpoint", ">requests", ">time", ">CPU", ">GC", ">allocated", ">peak", ">retained"]
    header += [">statements", ">templates", ">live now"]
    shown = table(header, [_row(endpoint) for endpoint in endpoints], width=max(WIDTH, 140))
    lines = [shown, "", "Averages of one request; bytes are estimates. Live now: of all its requests."]
    repeated = [(endpoint["name"], repeat) for endpoint in endpoints for repeat in endpoint["repeated"]]
    if repeated:
        lines += ["", "Statements that one request repeats (N+1):"]
    for name, repeat in sorted(repeated, key=lambda found: -found[1]["most"]):
        lines.append(f"  {name}: up to {repeat['most']} times, by {repeat['line']}")
        lines.append(f"    {cut(repeat['statement'], WIDTH)}")
    return "\n".join(lines)


def _row(endpoint: Mapping[str, Any]) -> list[str]:
    requests = endpoint["requests"]
    each = {key: endpoint[key] / requests for key in (*_SUMS, *_MORE_SUMS)}
    cpu = endpoint["cpu"] / endpoint["cpu_requests"] if endpoint["cpu_requests"] else None
    return [
        cut(endpoint["name"], _NAME_WIDTH),
        count(requests),
        _time(each["seconds"]),
        "?" if cpu is None else _time(cpu),
        _time(each["gc"]),
        size(each["allocated"]),
        size(each["peak"]),
        size(each["retained"]),
        count(each["statements"]),
        _time(each["template_seconds"]),
        size(endpoint["live"]),
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
