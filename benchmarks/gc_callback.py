"""What measuring a garbage collection costs: ones that find nothing, with the agent's callback and without.

    python -m benchmarks.gc_callback [--rounds 400] [--collections 500]

Blocks of young collections in random order: without a callback, with one that does nothing, with the agent's.
CPU time by collection. Also counted is what the callback leaves behind: objects that the collector tracks,
and blocks of memory.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable

from heapwatch.gcstats import GcStats

from benchmarks.results import Result, Table, record

NONE, EMPTY, OURS = "no callback", "one that does nothing", "the agent's"


def nothing(phase: str, info: dict[str, int]) -> None:
    """What any callback costs."""


def measure(collections: int) -> float:
    """CPU nanoseconds of a young collection that finds nothing."""
    collect = gc.collect
    began = time.thread_time_ns()
    for _ in range(collections):
        collect(0)
    return (time.thread_time_ns() - began) / collections


def blocks(
    kinds: dict[str, Callable[..., None] | None], rounds: int, collections: int
) -> dict[str, list[float]]:
    """Nanoseconds by kind and round."""
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in random.sample(list(kinds), len(kinds)):
            callback = kinds[kind]
            gc.callbacks[:] = [] if callback is None else [callback]
            found[kind].append(measure(collections))
    gc.callbacks.clear()
    return found


def left_behind(callback: Callable[..., None], collections: int) -> tuple[float, float]:
    """Tracked objects and blocks of memory that a collection's two calls leave, on average."""
    info = {"generation": 0, "collected": 0, "uncollectable": 0}
    callback("start", info)
    callback("stop", info)
    gc.collect()
    tracked, held = gc.get_count()[0], sys.getallocatedblocks()
    for _ in range(collections):
        callback("start", info)
        callback("stop", info)
    held = sys.getallocatedblocks() - held
    return (gc.get_count()[0] - tracked) / collections, held / collections


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=400, help="blocks of each kind")
    parser.add_argument("--collections", type=int, default=500, help="collections in a block")
    args = parser.parse_args()
    gc.collect()
    gc.freeze()
    gc.disable()
    ours = GcStats()._on_collection
    found = blocks({NONE: None, EMPTY: nothing, OURS: ours}, args.rounds, args.collections)
    tracked, held = left_behind(ours, 100_000)
    fastest = {kind: min(times) for kind, times in found.items()}
    median = {kind: statistics.median(times) for kind, times in found.items()}
    rows = [
        [kind, *(f"{of[kind]:,.0f} ns" for of in (fastest, median)), f"{fastest[kind] - fastest[NONE]:+,.0f}"]
        for kind in found
    ]
    note = (
        f"The agent's callback leaves {tracked:.3f} objects that the collector tracks and {held:.3f} blocks "
        "of memory behind per collection."
    )
    columns = ["callback", "fastest block", "median", "adds, ns"]
    table = Table("CPU time of a young collection that finds nothing", columns, rows, note)
    about = f"{args.rounds} blocks of {args.collections} collections of each kind, in random order."
    command = f"python -m benchmarks.gc_callback --rounds {args.rounds}"
    data = {"nanoseconds": found, "tracked": tracked, "blocks": held}
    title = "What measuring a garbage collection costs"
    record(Result("gc_callback", 74, title, about, command, [table], data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
