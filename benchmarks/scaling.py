"""What the sampler costs as a process grows: with many live samples, deep stacks, many threads.

    python -m benchmarks.scaling [--rounds 9] [--build plain]

The same work is done with the sampler at 64 KiB and without, under the same circumstances: so many blocks
held that are all sampled, so many frames below, so many threads that share the work. Instructions by
callgrind, CPU time of the process in alternation.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.environments import builds, environment
from benchmarks.results import Result, Table, record
from benchmarks.tools import KIB, heapwatch
from benchmarks.workloads import json_unit

CIRCUMSTANCES: dict[str, list[int]] = {
    "held": [0, 100, 1_000, 10_000, 100_000, 1_000_000],
    "depth": [0, 10, 30, 100, 300, 900],
    "threads": [1, 2, 4, 8, 16, 32, 64],
}
CAPTIONS = {
    "held": "Cost against blocks held that were all sampled",
    "depth": "Cost against frames below the work",
    "threads": "Cost against threads that share the work",
}
DEPTHS = {"held": [128], "depth": [128, 1024], "threads": [128]}
"""Circumstance -> frames kept of a stack."""
UNITS = {"held": 200, "depth": 200, "threads": 60}
INSTRUCTION_UNITS = {"held": 10, "depth": 10, "threads": 3}
PIECES = 64
HELD_BLOCK = 480
"""With the header of bytes 513, which is no larger where it is sampled."""


def threaded(count: int) -> Callable[[], object]:
    """The same PIECES of work, shared by `count` threads."""

    def work() -> None:
        for _ in range(2 * PIECES // count):
            {str(i): [i, float(i)] for i in range(500)}

    def unit() -> None:
        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return unit


def under(frames: int, call: Callable[[], float]) -> float:
    return under(frames - 1, call) if frames else call()


def hold(count: int, sampled: bool) -> list[bytes]:
    """Blocks that live on; with the sampler each of them is a live sample."""
    sampler = importlib.import_module("heapwatch._sampler")
    if sampled:
        sampler.set_interval(1)
    blocks = [bytes(HELD_BLOCK) for _ in range(count)]
    if sampled:
        sampler.set_interval(64 * KIB)
    return blocks


def child(circumstance: str, value: int, max_depth: int, units: int) -> dict[str, float]:
    """CPU seconds of the work in this process, and the samples that lived meanwhile; `max_depth` 0: none."""
    if max_depth:
        heapwatch(64 * KIB, max_depth)
    blocks = hold(value, bool(max_depth)) if circumstance == "held" else []
    unit = threaded(value) if circumstance == "threads" else json_unit()

    def work() -> float:
        unit()
        gc.freeze()
        children.mark()
        begin = time.process_time()
        for _ in range(units):
            unit()
        seconds = time.process_time() - begin
        children.mark()
        return seconds

    seconds = under(value if circumstance == "depth" else 0, work)
    live = importlib.import_module("heapwatch._sampler").stats()["live_samples"] if max_depth else 0
    return {"seconds": seconds, "live": live, "held": len(blocks)}


def measure(
    python: Path, circumstance: str, value: int, max_depth: int, rounds: int, repeats: int
) -> dict[str, Any]:
    """Extra instructions and the ratio of CPU seconds of one circumstance."""
    sides = {"with": max_depth, "without": 0}
    arguments = {
        side: ["-m", "benchmarks.scaling", "--child", circumstance, str(value), str(depth)]
        for side, depth in sides.items()
    }
    units = INSTRUCTION_UNITS[circumstance]
    counted = {
        side: children.instructions_per_unit(python, arguments[side], units, repeats if depth else 1)
        for side, depth in sides.items()
    }
    clocked = children.alternate(
        list(sides),
        lambda side: children.run(python, [*arguments[side], "--units", str(UNITS[circumstance])]),
        rounds,
    )
    ratio = children.ratio(*([run["seconds"] for run in clocked[side]] for side in sides))
    return {
        "value": value,
        "max_depth": max_depth,
        "live": clocked["with"][-1]["live"],
        "extra": counted["with"] / counted["without"] - 1,
        "ratio": asdict(ratio),
    }


def table(circumstance: str, points: list[dict[str, Any]]) -> Table:
    rows = []
    for point in points:
        ratio = point["ratio"]
        rows.append(
            [
                f"{point['value']:,}",
                *([f"{point['live']:,}"] if circumstance == "held" else []),
                *([str(point["max_depth"])] if circumstance == "depth" else []),
                f"{100 * point['extra']:+.2f}%",
                f"{ratio['median']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})",
            ]
        )
    second = {"held": ["samples alive"], "depth": ["frames kept"]}.get(circumstance, [])
    columns = [{"held": "blocks"}.get(circumstance, circumstance), *second, "instructions", "CPU time"]
    return Table(CAPTIONS[circumstance], columns, rows, NOTES[circumstance])


NOTES = {
    "held": "The table keeps at most 262,144 live samples; beyond that the interval doubles without bias.",
    "depth": "Frames beyond those kept are not looked at.",
    "threads": "",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="times that each side is clocked")
    parser.add_argument("--repeats", type=int, default=3, help="times that instructions are counted")
    parser.add_argument("--build", default=next(iter(builds())), help=f"one of {', '.join(builds())}")
    parser.add_argument("--only", default=",".join(CIRCUMSTANCES), help="comma-separated")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--units", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.child:
        sys.setrecursionlimit(5000)
        circumstance, value, depth = args.child
        print(json.dumps(child(circumstance, int(value), int(depth), args.units)))
        return 0
    python = environment(builds()[args.build], args.build)
    data: dict[str, list[dict[str, Any]]] = {}
    for circumstance in args.only.split(","):
        data[circumstance] = []
        for max_depth in DEPTHS[circumstance]:
            for value in CIRCUMSTANCES[circumstance]:
                data[circumstance].append(
                    measure(python, circumstance, value, max_depth, args.rounds, args.repeats)
                )
                print(f"  {circumstance}: {data[circumstance][-1]}", file=sys.stderr)
    about = (
        "One sample per 64 KiB against no sampler, under the same circumstances. Work: parsing and writing "
        "JSON; for threads, making dicts of strings and lists."
    )
    tables = [table(circumstance, points) for circumstance, points in data.items()]
    machine = {"build": args.build}
    record(Result("scaling", 40, "Scaling", about, "python -m benchmarks.scaling", tables, data, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
