"""Where the time goes that the sampler takes: hooks alone against sampling, caches, predictions, page faults.

    python -m benchmarks.causes [--launches 12] [--workloads flask,threads]

Children that stay alive are measured in turn, block by block of some 20 ms on one core, so that whatever
else the machine does hits all of them alike. A launch starts them anew, for where memory comes to lie moves a
whole run by a percent: the ratio of a launch is the median of its blocks, and what is shown is the mean over
launches with its standard error. "none again" is a second child without a tool: how far from 1 it is says
what to believe.

Misses are simulated by callgrind with caches of the sizes given here, not measured.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import children
from benchmarks.overhead import arguments
from benchmarks.results import Result, Table, record, versions

TOOLS = {
    "none again": "none",
    "hooks that never sample": "heapwatch-stopped",
    "512 KiB": "heapwatch-512k",
    "64 KiB": "heapwatch-64k",
}
BLOCK = {"flask": 3, "flask-files": 8, "json": 5, "orm": 6, "threads": 4}
"""Units of work in a block."""
CACHES = ["--cache-sim=yes", "--branch-sim=yes", "--I1=32768,8,64", "--D1=49152,12,64", "--LL=1048576,16,64"]
EVENTS = {
    "instructions": ["Ir"],
    "instructions that miss 32 KiB": ["I1mr"],
    "data that misses 48 KiB": ["D1mr", "D1mw"],
    "anything that misses 1 MiB": ["ILmr", "DLmr", "DLmw"],
    "branches mispredicted": ["Bcm", "Bim"],
}
UNITS = 20


def launch(workload: str, blocks: int, core: int) -> dict[str, tuple[float, float]]:
    """Tool -> (ratio of CPU seconds to none, page faults of a unit)."""
    names = {"none": "none", **TOOLS}
    served = {
        name: children.Served(
            Path(sys.executable),
            [*arguments(workload, names[name]), "--served"],
            ["taskset", "-c", str(core)],
        )
        for name in random.sample(list(names), len(names))
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(blocks):
        for name in random.sample(list(names), len(names)):
            found[name].append(served[name].measure(BLOCK[workload]))
    for child in served.values():
        child.close()
    base = [block["seconds"] for block in found["none"]]
    return {
        name: (
            children.ratio([block["seconds"] for block in measured], base).median,
            statistics.fmean(block["faults"] for block in measured) / BLOCK[workload],
        )
        for name, measured in found.items()
    }


def times(workloads: Sequence[str], launches: int, blocks: int, core: int) -> tuple[Table, dict[str, object]]:
    rows: dict[str, list[str]] = {name: [name] for name in TOOLS}
    data: dict[str, object] = {}
    for workload in workloads:
        found = [launch(workload, blocks, core) for _ in range(launches)]
        data[workload] = found
        for name, row in rows.items():
            ratios = [one[name][0] for one in found]
            error = statistics.stdev(ratios) / len(ratios) ** 0.5
            row.append(f"{statistics.fmean(ratios):.3f} ± {error:.3f}")
            print(f"  {workload} with {name}: {row[-1]}", file=sys.stderr)
    note = (
        f"Mean and its standard error over {launches} launches of {blocks} blocks. flask compiles its "
        "template at each request, flask-files once."
    )
    return Table(
        "CPU time against none, in pairs of blocks", ["", *workloads], list(rows.values()), note
    ), data


def misses(workload: str) -> tuple[Table, dict[str, object]]:
    def count(tool: str) -> dict[str, int]:
        return children.events(
            Path(sys.executable), [*arguments(workload, tool), "--units", str(UNITS)], CACHES
        )

    base, data = count("none"), {}
    rows = []
    for name, tool in list(TOOLS.items())[1:]:
        data[name] = found = count(tool)
        sums = {
            event: (sum(found[k] for k in keys), sum(base[k] for k in keys)) for event, keys in EVENTS.items()
        }
        rows.append(
            [
                name,
                *(
                    f"{(own - none) / UNITS:+,.0f} ({100 * (own / none - 1):+.2f}%)"
                    for own, none in sums.values()
                ),
            ]
        )
        print(" ".join(rows[-1]), file=sys.stderr)
    rows.insert(0, ["none", *(f"{sum(base[k] for k in keys) / UNITS:,.0f}" for keys in EVENTS.values())])
    note = f"Simulated by callgrind: {' '.join(CACHES)}."
    table = Table(f"Events of a unit of {workload}, and how many more", ["", *EVENTS], rows, note)
    return table, {"none": base, **data}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--launches", type=int, default=12, help="times that all children are started")
    parser.add_argument(
        "--blocks", type=int, default=15, help="times that each child is measured in a launch"
    )
    parser.add_argument("--workloads", default=",".join(BLOCK), help="comma-separated")
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1, help="that all of them run on")
    parser.add_argument("--misses", default="flask", help="workload whose misses are simulated")
    return parser.parse_args()


def main() -> int:
    args = parse()
    timed, seconds = times(args.workloads.split(","), args.launches, args.blocks, args.core)
    simulated, events = misses(args.misses)
    about = (
        "The sampler's share of CPU time in parts: hooks that stand and never sample, and sampling at two "
        "rates; and what it adds to the misses of simulated caches and branch predictors."
    )
    command = "python -m benchmarks.causes"
    data = {"seconds": seconds, "events": events}
    own = versions("flask", "sqlalchemy")
    record(
        Result("causes", 25, "Where the sampler's time goes", about, command, [timed, simulated], data, own)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
