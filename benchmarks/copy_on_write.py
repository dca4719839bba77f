"""What a forked worker still shares with its parent, by what the collector does before and after the fork.

    python -m benchmarks.copy_on_write [--heap 300] [--workers 4] [--requests 2400]

gunicorn loads a heap of some hundred MiB, forks workers and gets load. A garbage collection writes to the
header of every container that it looks at, so the first full one in a worker copies most pages of the heap;
Instagram's engineers published that in 2017, and gc.freeze() came of it. "plain" does nothing about it,
"frozen" calls `heapwatch.freeze()` in gunicorn's pre_fork hook, "tuner" has no hook but the agent, whose
tuner is told to act. What is lost in all cases are pages whose objects a request touches, by their reference
counts. Pages are read from /proc/PID/smaps while the load runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from heapwatch.memory.mappings import HEAP_KINDS, read_mappings

from benchmarks.results import Result, Table, record, versions
from benchmarks.servers import children, gunicorn

PLAIN, FROZEN, TUNER = "plain", "frozen", "tuner"
MODES = (PLAIN, FROZEN, TUNER)
CLIENTS = 4
INTERVAL = 2.0
MIB = 1 << 20


def ask(port: int) -> dict[str, Any]:
    """One request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def pages(pids: list[int]) -> dict[str, Any]:
    """Bytes of the processes' heaps: mean shared and private, and all memory of them together (PSS)."""
    found = [read_mappings(process=str(pid)) for pid in pids]
    heaps = [[kinds[kind] for kind in HEAP_KINDS if kind in kinds] for kinds in found]
    return {
        "shared": statistics.mean(sum(p.shared for p in heap) for heap in heaps),
        "private": statistics.mean(sum(p.private for p in heap) for heap in heaps),
        "pss": sum(p.pss for kinds in found for p in kinds.values()),
        "by_mapping": {
            kind: {
                "shared": statistics.mean(kinds[kind].shared for kinds in found if kind in kinds),
                "private": statistics.mean(kinds[kind].private for kinds in found if kind in kinds),
            }
            for kind in dict.fromkeys(kind for kinds in found for kind in kinds)
        },
    }


def measure(mode: str, heap: int, workers: int, requests: int) -> dict[str, Any]:
    """Pages over the time of `requests` requests, and at the end those of the main process, too."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"BENCHMARK_HEAP": str(heap * MIB), "BENCHMARK_MODE": mode, "HEAPWATCH_RUNTIME_DIR": folder}
        with gunicorn("benchmarks.copy_on_write_app", workers, [], env) as (main, port):
            return under_load(main, port, requests)


def under_load(main: int, port: int, requests: int) -> dict[str, Any]:
    """As `measure`, of a server that runs."""
    pids = children(main)
    series: list[dict[str, Any]] = []
    done = threading.Event()

    def watch() -> None:
        began = time.monotonic()
        while not done.wait(INTERVAL):
            now = pages(pids)
            seconds = time.monotonic() - began
            series.append({"seconds": seconds, "shared": now["shared"], "private": now["private"]})

    before = pages(pids)
    watcher = threading.Thread(target=watch)
    watcher.start()
    full: dict[int, list[int]] = {}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(lambda _: ask(port), range(requests)):
            full.setdefault(answer["pid"], []).append(answer["full_collections"])
    done.set()
    watcher.join()
    after = pages(pids)
    return {
        "before": before,
        "after": after,
        "all_processes": pages([main, *pids])["pss"],
        "full_collections": [max(counts) - min(counts) for counts in full.values()],
        "series": series,
    }


def lost(result: dict[str, Any]) -> float:
    """Part of what a worker shared at its begin that it shares no more."""
    return float(1 - result["after"]["shared"] / result["before"]["shared"])


def tables(results: dict[str, dict[str, Any]]) -> list[Table]:
    rows = []
    for mode, result in results.items():
        before, after = result["before"], result["after"]
        sizes = [before["shared"], after["shared"], after["private"], result["all_processes"]]
        collections = statistics.mean(result["full_collections"])
        cells = [*(f"{size / MIB:.0f} MiB" for size in sizes), f"{collections:.1f}", f"{lost(result):.1%}"]
        rows.append([mode, *cells])
    columns = ["", "shared at first", "at last", "private at last", "all processes", "full collections"]
    plain, frozen = results[PLAIN], results[FROZEN]
    total = frozen["all_processes"] / plain["all_processes"]
    shared, private = (frozen["after"][kind] / plain["after"][kind] for kind in ("shared", "private"))
    note = (
        f"Plain, {lost(plain):.1%} of what a worker shared is lost: {lost(plain) - lost(frozen):.1%} to the "
        f"headers that collections write, {lost(frozen):.1%} to reference counts and all else. Frozen "
        f"against plain, a worker shares {shared:.2f} times as much, its private heap is {private:.2f} times "
        f"and the memory of all processes {total:.2f} times as large."
    )
    return [Table("A worker's heap under load", [*columns, "lost"], rows, note)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heap", type=int, default=300, help="MiB that are loaded before the fork")
    parser.add_argument("--workers", type=int, default=4, help="worker processes")
    parser.add_argument("--requests", type=int, default=2400, help="requests to all workers together")
    args = parser.parse_args()
    results = {mode: measure(mode, args.heap, args.workers, args.requests) for mode in MODES}
    about = (
        f"gunicorn with {args.workers} workers that share {args.heap} MiB loaded before the fork, after "
        f"{args.requests:,} requests that each read a few of its entries: plain, with heapwatch.freeze() in "
        "the pre_fork hook, and without it but with the agent's tuner told to act."
    )
    command = f"python -m benchmarks.copy_on_write --requests {args.requests}"
    title = "Memory that workers share after a fork"
    machine = versions("gunicorn")
    record(Result("copy_on_write", 72, title, about, command, tables(results), results, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
