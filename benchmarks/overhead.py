"""What observing costs, ours and the peers': instructions and CPU time under each tool against none.

    python -m benchmarks.overhead instructions [--builds plain,pgo] [--workloads json,flask] [--tools ...]
    python -m benchmarks.overhead cpu [--rounds 12]

Instructions of a unit of work are counted with valgrind's callgrind: slow, but the same on a busy machine.
What was counted is kept in build/benchmarks, and counted again when the sources, the interpreter or a peer
change. CPU time is that of the whole process; a round takes every tool once, in a new random order, each in a
process of its own. Builds are the interpreter that runs this, and Debian's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.environments import BUILD, PEERS, SAMPLER_SOURCES, builds, digest, environment
from benchmarks.results import Result, Table, record
from benchmarks.tools import TOOLS

UNITS = {"json": 120, "flask": 90, "orm": 180, "buf": 60, "threads": 110, "numpy": 400}
INSTRUCTION_UNITS = {"json": 10, "flask": 10, "orm": 10, "buf": 5, "threads": 3, "numpy": 40}
WORKLOAD_SOURCES = ["benchmarks/workloads.py", "benchmarks/tools.py"]
MEAN_OF = ["json", "flask", "orm", "buf", "threads"]
CLOCKED = {"heapwatch-auto", "heapwatch-agent"}
"""They act by the clock, which callgrind slows down fifty-fold: their instructions would mean nothing."""

INSTRUCTION_GOALS = {
    "heapwatch-512k": {"json": 1.5, "flask": 1.2, "orm": 0.8, "buf": 0.1},
    "heapwatch-64k": {"json": 2.2, "flask": 1.8, "orm": 1.5, "buf": 0.2},
}
CPU_GOALS: dict[str, dict[str, dict[str, float]]] = {
    "plain": {
        "heapwatch-512k": {"flask": 1.01, "orm": 1.01, "json": 1.02, "threads": 1.02, "mean": 1.01},
        "heapwatch-64k": {"flask": 1.02, "orm": 1.02, "json": 1.06, "threads": 1.06, "mean": 1.02},
    },
    "pgo": {
        "heapwatch-512k": {"flask": 1.02, "orm": 1.02, "json": 1.07, "threads": 1.07},
        "heapwatch-64k": {"flask": 1.035, "orm": 1.035, "json": 1.08, "threads": 1.08},
    },
}


def arguments(workload: str, tool: str) -> list[str]:
    return ["-m", "benchmarks.workloads", workload, "--tool", tool]


def installed(python: Path, tools: Sequence[str]) -> list[str]:
    """Those that can be imported there; the others are named."""
    code = (
        "import importlib.util, json, sys;"
        "print(json.dumps({name: bool(importlib.util.find_spec(name)) for name in sys.argv[1:]}))"
    )
    found = children.run(python, ["-c", code, *{TOOLS[tool][0] for tool in tools}])
    for tool in tools:
        if not found[TOOLS[tool][0]]:
            print(f"{tool} is not installed for {python} and left out", file=sys.stderr)
    return [tool for tool in tools if found[TOOLS[tool][0]]]


class Counts:
    """Instructions that were counted, on disk: they stay true until what was counted changes."""

    def __init__(self, path: Path, build: str, facts: dict[str, str]) -> None:
        self._path = path
        self._build = build
        self._known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        others = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        self._state = f"{others} {digest(WORKLOAD_SOURCES)}"
        self._own_state = digest(SAMPLER_SOURCES)

    def per_unit(self, python: Path, workload: str, tool: str, repeats: int) -> float:
        key = f"{self._build} {workload} {tool} {repeats} {self._state}"
        if tool.startswith("heapwatch"):
            key += f" {self._own_state}"
        if key not in self._known:
            units = INSTRUCTION_UNITS[workload]
            self._known[key] = children.instructions_per_unit(
                python, arguments(workload, tool), units, repeats
            )
            self._path.write_text(json.dumps(self._known, indent=1))
        return self._known[key]


def count(
    python: Path, workloads: Sequence[str], tools: Sequence[str], repeats: int, counts: Counts
) -> dict[str, dict[str, float]]:
    """Tool -> workload -> instructions per unit."""
    table: dict[str, dict[str, float]] = {tool: {} for tool in tools}
    for workload in workloads:
        for tool in tools:
            # A peer adds ten times what chance moves; nothing moves the count without a tool.
            times = repeats if tool.startswith("heapwatch") else 1
            found = counts.per_unit(python, workload, tool, times)
            table[tool][workload] = found
            extra = 100 * (found / table["none"][workload] - 1)
            print(f"  {workload} under {tool}: {found:.0f} ({extra:+.2f}%)", file=sys.stderr)
    return table


def instructions_table(build: str, counted: dict[str, dict[str, float]]) -> Table:
    base = counted["none"]
    rows = []
    for tool, found in counted.items():
        if tool == "none":
            continue
        rows.append([tool, *(f"{100 * (found[w] / base[w] - 1):+.2f}%" for w in base)])
        if goals := INSTRUCTION_GOALS.get(tool):
            rows.append(["— goal", *(f"≤ {goals[w]:+.1f}%" if w in goals else "" for w in base)])
    return Table(f"Extra instructions per unit of work, {describe(build)}", ["tool", *base], rows)


def clock(
    python: Path, workloads: Sequence[str], tools: Sequence[str], rounds: int, scale: float
) -> dict[str, dict[str, dict[str, Any]]]:
    """Tool -> workload -> ratio of CPU seconds to none, and of the peak of resident memory."""
    table: dict[str, dict[str, dict[str, Any]]] = {tool: {} for tool in tools}
    for workload in workloads:
        units = str(max(1, round(UNITS[workload] * scale)))
        measured = children.alternate(
            tools,
            lambda tool, w=workload, u=units: children.run(python, [*arguments(w, tool), "--units", u]),  # type: ignore[misc]
            rounds,
        )
        for tool, runs in measured.items():
            ratio = children.ratio([r["seconds"] for r in runs], [r["seconds"] for r in measured["none"]])
            peaks = [statistics.median(run["peak"] for run in measured[t]) for t in (tool, "none")]
            seconds = statistics.median(run["seconds"] for run in runs)
            table[tool][workload] = {**asdict(ratio), "seconds": seconds, "peak": peaks[0] / peaks[1]}
            print(f"  {workload} under {tool}: {ratio}", file=sys.stderr)
    return table


def mean(table: dict[str, dict[str, Any]], tool: str) -> float | None:
    """Geometric mean of the five workloads that are always compared; None when one wasn't measured."""
    ratios = [table[tool][w]["median"] for w in MEAN_OF if w in table[tool]]
    return math.exp(statistics.fmean(map(math.log, ratios))) if len(ratios) == len(MEAN_OF) else None


def cpu_table(build: str, table: dict[str, dict[str, Any]]) -> Table:
    workloads = list(table["none"])
    rows = []
    for tool, found in table.items():
        if tool == "none":
            continue
        geometric = mean(table, tool)
        cells = [f"{r['median']:.3f} ({r['low']:.3f}–{r['high']:.3f})" for r in found.values()]
        rows.append([tool, *cells, f"{geometric:.3f}" if geometric else ""])
        if goals := CPU_GOALS.get(build, {}).get(tool):
            rows.append(["— goal", *(f"≤ {goals[w]}" if w in goals else "" for w in [*workloads, "mean"])])
    note = "Median and quartiles. Geometric mean of " + ", ".join(MEAN_OF) + "."
    return Table(
        f"CPU time against none, {describe(build)}", ["tool", *workloads, "geometric mean"], rows, note
    )


def memory_table(build: str, table: dict[str, dict[str, Any]]) -> Table:
    workloads = list(table["none"])
    rows = [[tool, *(f"{r['peak']:.2f}" for r in found.values())] for tool, found in table.items()]
    return Table(f"Peak of resident memory against none, {describe(build)}", ["tool", *workloads], rows[1:])


def describe(build: str) -> str:
    return {"plain": "CPython built without PGO", "pgo": "CPython built with PGO"}[build]


def facts(python: Path) -> dict[str, str]:
    """Version of the interpreter and of what is measured beside it."""
    names = ["flask", "sqlalchemy", "pillow", "numpy", *PEERS]
    code = (
        "import json, platform, sys; from benchmarks.results import versions;"
        "print(json.dumps({'python': platform.python_version(), **versions(*sys.argv[1:])}))"
    )
    return dict(children.run(python, ["-c", code, *names]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["instructions", "cpu"])
    parser.add_argument("--rounds", type=int, default=12, help="times that each tool is clocked")
    parser.add_argument(
        "--repeats", type=int, default=3, help="times that instructions under heapwatch are counted"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="length of a measurement against the usual")
    parser.add_argument("--builds", default=",".join(builds()), help="comma-separated")
    parser.add_argument("--workloads", default=",".join(UNITS), help="comma-separated")
    usual = [tool for tool in TOOLS if tool != "heapwatch-stopped"]
    parser.add_argument("--tools", default=",".join(usual), help="comma-separated; none is always measured")
    parser.add_argument("--json", type=Path, help="write only the raw figures, to this file")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.kind == "instructions" and not shutil.which("valgrind"):
        print("counting instructions needs valgrind: apt-get install valgrind", file=sys.stderr)
        return 1
    asked = list(dict.fromkeys(["none", *args.tools.split(",")]))
    data: dict[str, Any] = {}
    tables: list[Table] = []
    machine: dict[str, str] = {}
    for build in args.builds.split(","):
        python = environment(builds()[build], build)
        tools, workloads = installed(python, asked), args.workloads.split(",")
        machine |= {f"{build}: {name}": value for name, value in facts(python).items()}
        if args.kind == "instructions":
            counts = Counts(BUILD / "instructions.json", build, facts(python))
            counted = [tool for tool in tools if tool not in CLOCKED]
            data[build] = count(python, workloads, counted, args.repeats, counts)
            tables.append(instructions_table(build, data[build]))
        else:
            data[build] = clock(python, workloads, tools, args.rounds, args.scale)
            tables += [cpu_table(build, data[build]), memory_table(build, data[build])]
    if args.json:
        args.json.write_text(json.dumps(data, indent=1) + "\n")
        return 0
    record(result(args, tables, data, machine))
    return 0


def result(args: argparse.Namespace, tables: list[Table], data: Any, machine: dict[str, str]) -> Result:
    about = {
        "instructions": "Instructions that a unit of work takes under each tool against the same without, by "
        "callgrind. They don't depend on what else the machine does, and leave out what caches cost.",
        "cpu": f"CPU time of whole processes: {args.rounds} rounds, in each of which every tool is measured "
        "once, in random order.",
    }
    title = {"instructions": "Instructions", "cpu": "CPU time and memory"}
    order = {"instructions": 10, "cpu": 20}
    command = f"python -m benchmarks.overhead {args.kind}"
    return Result(
        args.kind, order[args.kind], title[args.kind], about[args.kind], command, tables, data, machine
    )


if __name__ == "__main__":
    sys.exit(main())
