"""What the search for holders does to requests: their latency with searches going on and without.

    python -m benchmarks.holder_search [--objects N] [--seconds S] [--rounds N] [--record]

A thread serves short requests of Python code, one after the other, in a process whose heap has about N
objects; meanwhile another thread searches what holds some of them, again and again, or sleeps. Both kinds of
round take turns. Prints latencies, and the CPU time of the searches' slices and of the steps in them: a step
is what holds the interpreter. Latencies need a quiet machine; CPU time doesn't.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from heapwatch.leaks.holders import HolderSearch, Wanted
from heapwatch.sampler import Owners, walk

from benchmarks.results import Result, Table, record

BUDGET = 0.05
PAUSE = 0.25
"""Seconds between two slices, as the agent leaves."""
SHOWN = (0.5, 0.99, 0.999, 1.0)


class Page:
    """What the searches look for."""

    def __init__(self, number: int) -> None:
        self.number, self.body = number, {"text": str(number)}


REGISTRY: dict[int, Page] = {}


class Pages:
    """Stands in for the sampler: gives out some pages."""

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        found: Owners = [(stack_ids[0], REGISTRY[number]) for number in range(0, len(REGISTRY), 997)]
        yield found[:limit]


def request() -> int:
    """The kind of code that services run."""
    rows = [{"id": n, "name": f"name {n}", "tags": [n, n + 1]} for n in range(3000)]
    return sum(len(str(row["name"])) for row in rows)


def serve(seconds: float) -> list[float]:
    """Latencies of requests, in seconds, one after the other with short rests."""
    found, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        request()
        found.append(time.perf_counter() - started)
        time.sleep(0.001)
    return found


def search(stop: threading.Event, slices: list[float], pause: float) -> None:
    """Search again and again until `stop`."""
    while not stop.is_set():
        searching = HolderSearch(Pages(), [Wanted([1])], BUDGET)
        over = False
        while not over and not stop.is_set():
            started = time.thread_time()
            over = searching.advance()
            slices.append(time.thread_time() - started)
            stop.wait(pause)


def steps(seconds: float) -> list[float]:
    """CPU time of single steps: what a request may have to wait for."""
    found = []
    heap = walk()
    while not heap.done:
        started = time.thread_time()
        heap.referrers([REGISTRY], seconds)
        found.append(time.thread_time() - started)
    return found


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Milliseconds at each of SHOWN."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {f"p{s * 100:g}": round(1e3 * ordered[min(last, int(s * len(ordered)))], 3) for s in SHOWN}


def measure(objects: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Rounds with and without searches in turns."""
    REGISTRY.update((number, Page(number)) for number in range(objects // 2))
    gc.collect()
    latencies: dict[str, list[float]] = {"off": [], "on": []}
    slices: list[float] = []
    for turn in range(2 * rounds):
        name = ("off", "on")[turn % 2]
        stop = threading.Event()
        searcher = threading.Thread(target=search, args=(stop, slices, PAUSE))
        if name == "on":
            searcher.start()
        latencies[name] += serve(seconds)
        stop.set()
        if name == "on":
            searcher.join()
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "tracked_objects": len(gc.get_objects()),
        "requests": {name: len(values) for name, values in latencies.items()},
        "latency_ms": {name: quantiles(values) for name, values in latencies.items()},
        "slice_cpu_ms": quantiles(slices),
        "step_cpu_ms": quantiles(steps(0.005)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=150_000, metavar="N", help="objects in the heap")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of a round")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="of each kind")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    args = parser.parse_args()
    found = measure(args.objects, args.seconds, args.rounds)
    if not args.record:
        print(json.dumps(found, indent=2))
        return
    kinds = {
        "requests, no search": found["latency_ms"]["off"],
        "requests, searches going on": found["latency_ms"]["on"],
        "slices of searches, CPU": found["slice_cpu_ms"],
        "steps of searches, CPU": found["step_cpu_ms"],
    }
    record(
        Result(
            name="holder_search",
            order=72,
            title="What the search for holders does to requests",
            about=f"A thread serves requests in a process of {found['tracked_objects']:,} objects while"
            f" another searches all the time, a slice of {BUDGET * 1e3:.0f} ms each {PAUSE:g} s. A step is"
            " what holds the interpreter; its CPU time doesn't depend on the machine's load, latencies do.",
            command="python -m benchmarks.holder_search --record",
            tables=[
                Table(
                    "Milliseconds",
                    ["what", *(f"p{share * 100:g}" for share in SHOWN)],
                    [[name, *(f"{value:.2f}" for value in row.values())] for name, row in kinds.items()],
                )
            ],
            data=found,
        )
    )


if __name__ == "__main__":
    main()
