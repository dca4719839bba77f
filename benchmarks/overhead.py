"""What observing costs: CPU time of workloads under each tool against none, in alternation.

    python -m benchmarks.overhead [--rounds 6] [--workloads json,flask] [--tools none,heapwatch-64k]
    python -m benchmarks.overhead --instructions

Each measurement is a child process of its own; a round takes every tool once, in a new random order, so drift
of the machine hits all alike. Reported is the ratio to `none` in the same round: median, lowest and highest.
`--instructions` counts instructions per unit of work with valgrind's callgrind instead (the difference of two
runs of different length, so start-up cancels out): slow, but the same on a busy machine. Tools that aren't
installed are left out and named. Writes JSON and prints a table.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.workloads import TOOLS, WORKLOADS

UNITS = {"json": 60, "flask": 60, "orm": 60, "buf": 60, "threads": 30}
INSTRUCTION_UNITS = {"json": (1, 5), "flask": (2, 10), "orm": (2, 10), "buf": (1, 5), "threads": (1, 4)}


def installed(tool: str) -> bool:
    try:
        return importlib.util.find_spec(TOOLS[tool][0]) is not None
    except ModuleNotFoundError:
        return False


def child(workload: str, tool: str, units: int, prefix: Sequence[str] = ()) -> dict[str, float]:
    command = [
        *prefix,
        sys.executable,
        "-m",
        "benchmarks.workloads",
        workload,
        "--tool",
        tool,
        "--units",
        str(units),
    ]
    done = subprocess.run(
        command, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{workload} under {tool} failed:\n{done.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def instructions(workload: str, tool: str, units: int) -> int:
    """Instructions of a whole child, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        child(workload, tool, units, ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q"])
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    if not found:
        raise RuntimeError(f"callgrind counted nothing for {workload} under {tool}")
    return int(found[1])


def instructions_per_unit(workload: str, tool: str) -> float:
    few, many = INSTRUCTION_UNITS[workload]
    child(workload, tool, 1)  # so that no module is left to be compiled
    return (instructions(workload, tool, many) - instructions(workload, tool, few)) / (many - few)


def count_instructions(workloads: Sequence[str], tools: Sequence[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for workload in workloads:
        base = instructions_per_unit(workload, "none")
        table[workload] = {"none": {"per_unit": base}}
        for tool in tools:
            if tool != "none":
                count = instructions_per_unit(workload, tool)
                table[workload][tool] = {"per_unit": count, "ratio": count / base}
                print(f"{workload:8} {tool:16} {100 * (count / base - 1):+.2f} % instructions", flush=True)
    return table


def measure_rounds(
    workload: str, tools: Sequence[str], rounds: int, scale: float
) -> dict[str, list[dict[str, float]]]:
    units = max(1, round(UNITS[workload] * scale))
    measured: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool in random.sample(list(tools), len(tools)):
            measured[tool].append(child(workload, tool, units))
    return measured


def summarize(measured: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    base = [run["seconds"] for run in measured["none"]]
    base_peak = statistics.median(run["peak"] for run in measured["none"])
    summary: dict[str, Any] = {}
    for tool, runs in measured.items():
        ratios = [run["seconds"] / none for run, none in zip(runs, base, strict=True)]
        summary[tool] = {
            "seconds": statistics.median(run["seconds"] for run in runs),
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "peak_ratio": statistics.median(run["peak"] for run in runs) / base_peak,
        }
    return summary


def measure_cpu(workloads: Sequence[str], tools: Sequence[str], rounds: int, scale: float) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for workload in workloads:
        table[workload] = summarize(measure_rounds(workload, tools, rounds, scale))
        for tool, found in table[workload].items():
            spread = f"{found['lowest']:.3f} to {found['highest']:.3f}"
            print(
                f"{workload:8} {tool:16} CPU {found['ratio']:.3f} ({spread}), peak {found['peak_ratio']:.2f}",
                flush=True,
            )
    for tool in tools:
        mean = math.exp(statistics.fmean(math.log(table[workload][tool]["ratio"]) for workload in workloads))
        print(f"{'geo-mean':8} {tool:16} CPU {mean:.3f}", flush=True)
    return table


def machine() -> dict[str, str]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "python": sys.version.split()[0],
        "build": " ".join(platform.python_build()),
        "cpu": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6, help="times that each tool is measured")
    parser.add_argument("--scale", type=float, default=1.0, help="length of a measurement against the usual")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="comma-separated")
    parser.add_argument(
        "--tools",
        default="none,heapwatch-512k,heapwatch-64k,tracemalloc,ddtrace-1m,ddtrace-64k,pyroscope-512k,memray",
        help="comma-separated; none is always measured",
    )
    parser.add_argument("--instructions", action="store_true", help="count instructions instead of CPU time")
    parser.add_argument(
        "--output", type=Path, default=Path("build/benchmarks/overhead.json"), help="where the JSON goes"
    )
    return parser.parse_args()


def main() -> int:
    args = arguments()
    asked = list(dict.fromkeys(["none", *args.tools.split(",")]))
    tools = [tool for tool in asked if installed(tool)]
    for tool in asked:
        if tool not in tools:
            print(f"{tool} is not installed and left out", flush=True)
    workloads = args.workloads.split(",")
    if args.instructions and not shutil.which("valgrind"):
        print("counting instructions needs valgrind: apt-get install valgrind", file=sys.stderr)
        return 1
    if args.instructions:
        table = count_instructions(workloads, tools)
    else:
        table = measure_cpu(workloads, tools, args.rounds, args.scale)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    kind = "instructions" if args.instructions else "cpu"
    args.output.write_text(json.dumps({"machine": machine(), kind: table}, indent=2) + "\n")
    print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
