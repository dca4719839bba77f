"""What an export of the sampler costs, and how long it keeps other threads from running.

    python -m benchmarks.export [--live 1000,10000,60000,100000,1000000] [--stacks 3000] [--depth 30]

For each number of live samples a process of its own makes that many, in as many stacks, and then exports: a
whole profile in the pprof format, a taken one (allocations since the one before), the totals that the search
for leaks reads, and a delivery, which is a taken profile compressed. Measured are the processor time of the
exporting thread, and the longest wait of another thread that always wants to run. The switch interval is set
to longer than the whole, so that the exporting thread keeps the interpreter until it lets go by itself. Both
are the least of several rounds, for a busy machine only adds. Beyond the sampler's table (262,144 samples) it
thins them out, so the largest number says what a full table costs.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from heapwatch import _sampler
from heapwatch.profiles import Profiles
from heapwatch.sampler import open_sampler

from benchmarks.results import Result, Table, record

BLOCK = 600
LONG = 1000.0
MILLI = 1e3
KINDS = ("profile", "take", "totals", "delivery")


def sites(count: int, depth: int) -> list[Callable[[int], Any]]:
    """Functions that allocate a block `depth` frames deep, in stacks that share frames as a service's do."""
    space: dict[str, Any] = {}
    source = ["def leaf(n):\n    return bytes(n)\n"]
    # Ten functions of each level, and one at the top of each stack.
    names = ["leaf"]
    for level in range(depth - 2):
        made = [f"level{level}_{i}" for i in range(10)]
        source += [f"def {name}(n):\n    return {names[i % len(names)]}(n)\n" for i, name in enumerate(made)]
        names = made
    source += [f"def top{i}(n):\n    return {names[i % len(names)]}(n)\n" for i in range(count)]
    code = compile("".join(source), "/srv/benchmark/sites.py", "exec")
    exec(code, space)  # noqa: S102  # our own text, of which thousands of functions are made
    return [space[f"top{i}"] for i in range(count)]


def fill(sampler: Any, live: int, stacks: int, depth: int) -> list[Any]:
    """Blocks that live, each of them sampled."""
    made = sites(stacks, depth)
    sampler.start(1, 128)
    kept = [made[i % stacks](BLOCK) for i in range(live)]
    sampler.set_interval(1 << 30)
    return kept


class Watcher:
    """A thread that always wants to run, and notes the longest time in which it could not."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.turns = 0
        self._done = False
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._done:
            time.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now
            self.turns += 1

    def settle(self) -> None:
        """Let it note the wait that ends now."""
        turn = self.turns
        while self.turns < turn + 2:
            time.sleep(0.001)

    def stop(self) -> None:
        self._done = True
        self._thread.join()


def measure(call: Callable[[], object], rounds: int) -> dict[str, float]:
    """Least milliseconds of processor time, and least of the longest waits of another thread."""
    seconds, waits = [], []
    for _ in range(rounds):
        began = time.thread_time()
        call()
        seconds.append(time.thread_time() - began)
    for _ in range(rounds):
        watcher = Watcher()
        watcher.settle()
        watcher.longest = 0.0
        call()
        watcher.settle()
        longest = watcher.longest
        watcher.stop()
        waits.append(longest)
    return {"cpu": min(seconds) * MILLI, "wait": min(waits) * MILLI}


def child(live: int, stacks: int, depth: int, rounds: int) -> dict[str, Any]:
    """All figures for a number of live samples, in this process."""
    before = _sampler.stats()["own_bytes"]
    kept = fill(_sampler, live, stacks, depth)
    gc.collect()
    gc.freeze()
    stats = _sampler.stats()
    sys.setswitchinterval(LONG)
    began = time.thread_time()
    message, _, _ = _sampler.profile({}, 0, True)
    first = time.thread_time() - began
    sampler = open_sampler(1 << 30, 128)
    profiles = Profiles(sampler)
    return {
        "kept": len(kept),
        "live_samples": stats["live_samples"],
        "rows": len(_sampler.totals()[0]),
        "message_bytes": len(memoryview(message)),
        "own_bytes_per_sample": (stats["own_bytes"] - before) / max(1, stats["live_samples"]),
        "first_cpu": first * MILLI,
        "profile": measure(lambda: _sampler.profile({}), rounds),
        "take": measure(lambda: _sampler.profile({}, 0, True), rounds),
        "totals": measure(lambda: _sampler.totals(live=True), rounds),
        "delivery": measure(lambda: profiles.take(time.time()), rounds),
    }


def tables(results: list[dict[str, Any]]) -> list[Table]:
    """Processor time and waits, in milliseconds."""
    columns = ["live samples", "rows", "bytes per sample", "first profile", *KINDS]
    rows: dict[str, list[list[str]]] = {"cpu": [], "wait": []}
    for result in results:
        head = [f"{result['live_samples']:,}", f"{result['rows']:,}", f"{result['own_bytes_per_sample']:.0f}"]
        for figure, table in rows.items():
            first = f"{result['first_cpu']:.2f}" if figure == "cpu" else ""
            table.append([*head, first, *(f"{result[kind][figure]:.2f}" for kind in KINDS)])
    return [
        Table("Processor time of one export (ms)", columns, rows["cpu"], "The first profile looks up lines."),
        Table("Longest wait of another thread during it (ms)", columns, rows["wait"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--live", default="1000,10000,60000,100000,1000000", help="live samples, comma-separated"
    )
    parser.add_argument("--stacks", type=int, default=3000, help="different stacks that they are in")
    parser.add_argument("--depth", type=int, default=30, help="frames of a stack")
    parser.add_argument("--rounds", type=int, default=7, help="times that each export is measured")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child, args.stacks, args.depth, args.rounds)))
        return 0
    results = []
    for live in args.live.split(","):
        options = [f"--{name}={getattr(args, name)}" for name in ("stacks", "depth", "rounds")]
        apart = [sys.executable, "-m", "benchmarks.export", "--child", live, *options]
        done = subprocess.run(apart, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    about = f"{args.stacks:,} stacks of {args.depth} frames; blocks of {BLOCK} bytes."
    command = f"python -m benchmarks.export --live {args.live}"
    record(Result("export", 60, "What an export costs", about, command, tables(results), results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
