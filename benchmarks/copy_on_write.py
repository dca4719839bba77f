"""What a forked worker still shares with its parent: with `heapwatch.freeze()` before the fork, and without.

    python -m benchmarks.copy_on_write [--heap 300] [--workers 4] [--requests 2400]

gunicorn loads a heap of some hundred MiB, forks workers and gets load. A garbage collection writes to the
header of every container that it looks at, so the first full one in a worker copies most pages of the heap;
Instagram's engineers published that in 2017, and gc.freeze() came of it. What is lost in both cases are pages
whose objects a request touches, by their reference counts. Pages are read from /proc/PID/smaps while the load
runs. Writes JSON and prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heapwatch.memory.mappings import HEAP_KINDS, read_mappings

from benchmarks.gc_tuner import free_port
from benchmarks.results import machine

MODES = ("plain", "frozen")
START_LIMIT = 300.0
STOP_LIMIT = 20.0
CLIENTS = 4
INTERVAL = 0.5
MIB = 1 << 20


@contextmanager
def server(mode: str, heap: int, workers: int) -> Iterator[tuple[int, int]]:
    """A gunicorn that answers: (pid of its main process, port). Stopped by its pid."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:benchmarks.copy_on_write_app"]
    command += ["-b", f"127.0.0.1:{port}", "-w", str(workers), "--log-level", "warning"]
    env = {**os.environ, "BENCHMARK_HEAP": str(heap * MIB), "BENCHMARK_FREEZE": str(int(mode == "frozen"))}
    process = subprocess.Popen(
        [*command, "benchmarks.copy_on_write_app:application"], env=env, start_new_session=True
    )
    try:
        deadline = time.monotonic() + START_LIMIT
        while len(children(process.pid)) < workers or not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("gunicorn did not start; its reason is above")
            time.sleep(0.1)
        yield process.pid, port
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int) -> dict[str, Any]:
    """One request."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def answers(port: int) -> bool:
    """Whether the server serves."""
    try:
        return bool(ask(port))
    except (urllib.error.URLError, ConnectionError):
        return False


def children(pid: int) -> list[int]:
    """Pids of the workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
    with server(mode, heap, workers) as (main, port):
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


def compare(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Frozen against plain."""
    plain, frozen = results["plain"], results["frozen"]
    return {
        "shared": frozen["after"]["shared"] / plain["after"]["shared"],
        "private": frozen["after"]["private"] / plain["after"]["private"],
        "memory_of_all": frozen["all_processes"] / plain["all_processes"],
        "lost_plain": 1 - plain["after"]["shared"] / plain["before"]["shared"],
        "lost_frozen": 1 - frozen["after"]["shared"] / frozen["before"]["shared"],
    }


def show(results: dict[str, dict[str, Any]], ratios: dict[str, float]) -> None:
    print(f"{'':<8}{'shared by a worker':>28}{'private':>20}{'all processes':>16}{'full collections':>18}")
    for mode, result in results.items():
        before, after = result["before"], result["after"]
        print(
            f"{mode:<8}{before['shared'] / MIB:>13.0f} -> {after['shared'] / MIB:>4.0f} MiB"
            f"{before['private'] / MIB:>12.0f} -> {after['private'] / MIB:>3.0f} MiB"
            f"{result['all_processes'] / MIB:>12.0f} MiB"
            f"{statistics.mean(result['full_collections']):>13.1f} each"
        )
    print(
        f"of the shared heap {ratios['lost_plain']:.0%} is lost plain, {ratios['lost_frozen']:.0%} frozen;"
        f" frozen against plain: shared x{ratios['shared']:.2f}, private x{ratios['private']:.2f},"
        f" memory of all processes x{ratios['memory_of_all']:.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--heap", type=int, default=300, help="MiB that are loaded before the fork")
    parser.add_argument("--workers", type=int, default=4, help="worker processes")
    parser.add_argument("--requests", type=int, default=2400, help="requests to all workers together")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/copy_on_write.json"))
    args = parser.parse_args()
    results = {mode: measure(mode, args.heap, args.workers, args.requests) for mode in MODES}
    ratios = compare(results)
    show(results, ratios)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "heap_mib": args.heap, "workers": args.workers, "requests": args.requests}
    args.output.write_text(json.dumps({**report, "ratios": ratios, "modes": results}, indent=2) + "\n")
    print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
