"""Fragmentation by allocator: what is held beside what lives, and how well the breakdown predicts a trim.

    python -m benchmarks.fragmentation [--size 200] [--rounds 3] [--malloc glibc,jemalloc,mimalloc]

Each measurement is a child process of its own that fills `--size` MiB in one of several patterns, frees part
of it, and compares what `heapwatch.memory` says with what the kernel then does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from heapwatch.allocators import Pymalloc, find_malloc
from heapwatch.memory.own import OwnMemory
from heapwatch.preload import PACKAGES, allocator
from heapwatch.process import ProcessReader
from heapwatch.sampler import NullSampler

from benchmarks.results import Result, Table, record

MIB = 1 << 20
FIGURES = ("live", "rss", "explained", "pymalloc", "malloc", "predicted", "given_back", "milliseconds")
GLIBC = "glibc"


def every_second(size: int) -> list[bytes]:
    """Blocks of 600 to 8,000 bytes, every second one freed: holes between blocks that live."""
    blocks = [bytes(random.randrange(600, 8000)) for _ in range(size // 4300)]
    return blocks[::2]


def burst(size: int) -> list[bytes]:
    """Blocks as above, all of the second half freed: one large hole at the end."""
    blocks = [bytes(random.randrange(600, 8000)) for _ in range(size // 4300)]
    return blocks[: len(blocks) // 2]


def pinned(size: int) -> list[bytes]:
    """Small objects of which one in a thousand lives: some in every arena, so that none is given back."""
    blocks = [b"%064d" % number for number in range(size // 112)]
    return blocks[::1000]


def mapped(size: int) -> list[bytes]:
    """Blocks of 4 MiB, half of them freed: mappings that go back at once."""
    blocks = [b"x" * (4 * MIB) for _ in range(size // (4 * MIB))]
    return blocks[::2]


PATTERNS: dict[str, Callable[[int], list[bytes]]] = {
    pattern.__name__: pattern for pattern in (every_second, burst, pinned, mapped)
}


def child(pattern: str, size: int) -> dict[str, float]:
    """One measurement, in this process."""
    memory = OwnMemory(find_malloc(), Pymalloc(), NullSampler("measured without"))
    kept = PATTERNS[pattern](size)
    began = time.perf_counter()
    breakdown = memory.breakdown()
    seconds = time.perf_counter() - began
    before = ProcessReader().status().rss
    memory.trim()
    after = ProcessReader().status().rss
    return {
        "live": sum(map(sys.getsizeof, kept)) / MIB,
        "rss": before / MIB,
        "explained": breakdown.explained,
        **breakdown.fragmentation,
        "predicted": breakdown.trimmable / MIB,
        "given_back": (before - after) / MIB,
        "milliseconds": seconds * 1000,
    }


def measure(size: int, rounds: int, mallocs: list[str]) -> dict[str, dict[str, Any]]:
    """Median, lowest and highest of each figure, by allocator and pattern; these take turns."""
    libraries = {malloc: "" if malloc == GLIBC else allocator(malloc) for malloc in mallocs}
    runs: dict[str, list[dict[str, float]]] = {f"{p} {m}": [] for p in PATTERNS for m in mallocs}
    for _ in range(rounds):
        for name, results in runs.items():
            pattern, malloc = name.split()
            command = [sys.executable, "-m", __spec__.name, "--child", pattern, "--size", str(size)]
            environment = {**os.environ, "LD_PRELOAD": libraries[malloc]}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            results.append(json.loads(done.stdout))
    return {
        name: {
            figure: {
                "median": statistics.median(run[figure] for run in results),
                "lowest": min(run[figure] for run in results),
                "highest": max(run[figure] for run in results),
            }
            for figure in FIGURES
            if figure in results[0]
        }
        for name, results in runs.items()
    }


def tables(results: dict[str, dict[str, Any]]) -> list[Table]:
    """A table of each pattern, a row for each allocator; medians."""
    columns = [
        "allocator", "live", "RSS", "RSS of glibc's", "unused in pymalloc", "unused in malloc",
        "trim: forecast", "trim: given back", "RSS explained",
    ]  # fmt: skip
    made = []
    for pattern, build in PATTERNS.items():
        rows = []
        glibc = results.get(f"{pattern} {GLIBC}")
        for name, figures in results.items():
            if name.split()[0] != pattern:
                continue
            of = {figure: values["median"] for figure, values in figures.items()}
            ratio = f"{of['rss'] / glibc['rss']['median']:.0%}" if glibc else ""
            unused = f"{of['malloc']:.0%}" if "malloc" in of else ""
            sizes = [f"{of[figure]:.0f} MiB" for figure in ("live", "rss")]
            trim = [f"{of[figure]:.1f} MiB" for figure in ("predicted", "given_back")]
            shares = [ratio, f"{of['pymalloc']:.0%}", unused]
            rows.append([name.split()[1], *sizes, *shares, *trim, f"{of['explained']:.1%}"])
        made.append(Table((build.__doc__ or "").rstrip("."), columns, rows))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=200, help="MiB that are allocated")
    parser.add_argument("--rounds", type=int, default=3, help="times that each pattern is measured")
    parser.add_argument("--malloc", default=",".join([GLIBC, *PACKAGES]), help="allocators that are compared")
    parser.add_argument("--child", choices=PATTERNS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args.child, args.size * MIB)))
        return 0
    results = measure(args.size, args.rounds, args.malloc.split(","))
    about = (
        f"A process fills {args.size} MiB in one of four patterns and frees part of it, with glibc's malloc "
        f"and with others in its place (`heapwatch run --malloc`); medians of {args.rounds} processes. "
        "Unused is what an allocator holds and nobody uses, over what it holds; trim is `heapwatch trim`."
    )
    command = f"python -m benchmarks.fragmentation --size {args.size} --rounds {args.rounds}"
    title = "Fragmentation by allocator"
    record(Result("fragmentation", 76, title, about, command, tables(results), results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
