"""What attribution costs a request: applications that do next to nothing, measured and not, in alternation.

    python -m benchmarks.requests [--rounds 1000] [--requests 10] [--no-instructions] [--record]

No server, no network: one thread calls the application, in short blocks with ours and without, in random
order. The sampler runs in both, at its default interval. A round is a block of each, a millisecond apart, so
both meet the same machine; its difference in CPU time is what ours adds to a request. The tenth of the rounds
that took least CPU time altogether shows it as undisturbed as the machine allows; all rounds show it with the
load that there was. Given are medians with their 95% intervals. Instructions are counted by callgrind: they
don't depend on load.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import children
from benchmarks.request_cases import CASES, Case, Handle, sampling
from benchmarks.results import Result, Table, record, show, versions

LIMIT = 15.0
"""Microseconds that attribution may add to a request."""
QUIET = 0.1
COUNTED = 200
RESAMPLES = 2000
HEAVY = "statements"
"""In the name of the case that isn't counted, and has no limit: most of it are statements."""


def block(handle: Handle, count: int) -> float:
    """CPU seconds of one request."""
    began = time.thread_time()
    for _ in range(count):
        handle()
    return (time.thread_time() - began) / count


def measure(case: Case, rounds: int, count: int, chance: random.Random) -> list[tuple[float, float]]:
    """(with, without) of each round, in microseconds."""
    found = []
    for handle in case:
        block(handle, 10 * count)
    for _ in range(rounds):
        order = chance.sample((0, 1), 2)
        took = {which: block(case[which], count) for which in order}
        found.append((took[0] * 1e6, took[1] * 1e6))
    return found


def quiet(found: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The rounds that took least."""
    return sorted(found, key=sum)[: max(10, round(QUIET * len(found)))]


def added(found: Sequence[tuple[float, float]]) -> float:
    """The median of the rounds' differences."""
    return statistics.median(on - off for on, off in found)


def with_interval(found: Sequence[tuple[float, float]]) -> str:
    """The same, with its 95% interval from resampling the rounds."""
    differences = np.array([on - off for on, off in found])
    drawn = np.random.default_rng(0).choice(differences, (RESAMPLES, len(differences)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return f"{np.median(differences):.1f} ({low:.1f} to {high:.1f})"


def count_instructions(name: str) -> tuple[float, float]:
    """Of one request, with ours and without."""
    arguments = ["-m", "benchmarks.request_cases", name]
    python = Path(sys.executable)
    ours, without = (
        children.instructions_per_unit(python, [*arguments, *more], COUNTED, 1) for more in (["--ours"], [])
    )
    return ours, without


def row(name: str, found: list[tuple[float, float]], counted: tuple[float, float] | None) -> list[str]:
    """The case's line of the table."""
    calm = quiet(found)
    without = statistics.median(off for _, off in calm)
    instructions = [f"{counted[1]:,.0f}", f"{counted[0] - counted[1]:,.0f}"] if counted else ["", ""]
    return [name, f"{without:.1f}", with_interval(calm), with_interval(found), *instructions]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="blocks of each kind (default: 1000)")
    parser.add_argument("--requests", type=int, default=10, help="requests of a block (default: 10)")
    parser.add_argument("--no-instructions", action="store_true", help="count none, which takes minutes")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    args = parser.parse_args()
    counts = not args.no_instructions and shutil.which("valgrind") is not None
    chance = random.Random(1)
    data = {}
    with sampling() as requests:
        for name, make in CASES.items():
            data[name] = measure(make(requests), args.rounds, args.requests, chance)
    counted = {name: count_instructions(name) for name in CASES if counts and HEAVY not in name}
    about = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    columns = ["", "without, µs", "ours, quiet, µs", "ours, all, µs", "instructions without", "ours"]
    rows = [row(name, found, counted.get(name)) for name, found in data.items()]
    command = f"python -m benchmarks.requests --rounds {args.rounds} --requests {args.requests} --record"
    machine = versions("flask", "sqlalchemy")
    table = Table("Attribution per request", columns, rows)
    kept = {"quiet": {name: quiet(found) for name, found in data.items()}, "instructions": counted}
    title = "What attribution costs a request"
    if args.record:
        record(Result("requests", 60, title, about, command, [table], kept, machine))
    else:
        show(table)
    return int(max(added(quiet(found)) for name, found in data.items() if HEAVY not in name) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
