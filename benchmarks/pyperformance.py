"""The agent at its defaults against none, on the benchmarks of the pyperformance suite.

    python -m benchmarks.pyperformance [--build plain] [--benchmarks json_loads,go | --all] [--rounds 5]

The suite and what its benchmarks need come from PyPI into build/benchmarks. Each benchmark runs in turn
without the agent and under `heapwatch run`, in processes of its own. Every run is kept in build/benchmarks as
it ends, so a run that is broken off goes on where it was, until a source of the agent changes; `--fresh`
forgets them. A benchmark that can't be installed or run is named and left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.environments import BUILD, builds, digest, environment, install
from benchmarks.results import Result, Table, record

USUAL = [
    "async_tree", "chaos", "comprehensions", "coroutines", "deepcopy", "deltablue", "float", "generators",
    "go", "hexiom", "json_dumps", "json_loads", "logging", "mdp", "nbody", "pickle", "pidigits", "pprint",
    "pyflate", "raytrace", "regex_compile", "richards", "spectral_norm", "sqlite_synth", "telco",
    "unpack_sequence", "xml_etree",
]  # fmt: skip
"""Those without requirements that take seconds and stay in their process."""
NOT_OURS = {"python_startup", "hg_startup", "2to3", "concurrent_imap"}
"""They time other processes than the one that is observed."""
SIDES = ("none", "agent")
INHERITED = "HEAPWATCH_ENABLED,HEAPWATCH_SERVICE,PYTHONPATH"


class Runs:
    """Values of finished runs, on disk: benchmark -> task -> side -> seconds of each round."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self._path = path
        self.tasks: dict[str, dict[str, dict[str, list[float]]]] = {}
        if path.exists() and not fresh:
            stored = json.loads(path.read_text())
            if stored["sources"] == digest():
                self.tasks = stored["tasks"]

    def done(self, benchmark: str) -> int:
        """Rounds that are complete."""
        tasks = self.tasks.get(benchmark, {})
        return min((len(runs) for sides in tasks.values() for runs in sides.values()), default=0)

    def add(self, benchmark: str, found: dict[str, dict[str, float]]) -> None:
        """One round: task -> side -> seconds."""
        for task, sides in found.items():
            known = self.tasks.setdefault(benchmark, {}).setdefault(task, {side: [] for side in SIDES})
            for side in SIDES:
                known[side].append(sides[side])
        self._path.write_text(json.dumps({"sources": digest(), "tasks": self.tasks}))


def scripts(python: Path) -> dict[str, Path]:
    """Name of each benchmark of the suite -> its program."""
    code = "import json, pyperformance; print(json.dumps({'at': list(pyperformance.__path__)[0]}))"
    root = Path(children.run(python, ["-c", code])["at"]) / "data-files" / "benchmarks"
    found = {path.parent.name.removeprefix("bm_"): path for path in root.glob("bm_*/run_benchmark.py")}
    return {name: path for name, path in sorted(found.items()) if name not in NOT_OURS}


def requirements(python: Path, script: Path) -> bool:
    """Whether what the benchmark needs is there now."""
    file = script.parent / "requirements.txt"
    return not file.exists() or install(python, "--requirement", str(file))


def run(python: Path, script: Path, side: str) -> dict[str, float]:
    """Task -> median seconds of one loop, in one process. RuntimeError with its output if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [str(python), str(script), "--processes", "1", "--values", "5", "--warmups", "1", "--quiet"]
        command += ["--inherit-environ", INHERITED, "--output", str(out)]
        if side == "agent":
            command = [str(python), "-m", "heapwatch", "run", "--service", "benchmark", "--", *command]
        env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": ""}
        done = subprocess.run(command, check=False, env=env, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
        suite = json.loads(out.read_text())
    found = {}
    for benchmark in suite["benchmarks"]:
        name = benchmark.get("metadata", suite.get("metadata", {})).get("name", script.parent.name)
        values = [value for one in benchmark["runs"] for value in one.get("values", [])]
        found[name] = statistics.median(values)
    return found


def complete(python: Path, name: str, script: Path, rounds: int, runs: Runs) -> None:
    """Runs what is missing of `rounds`; RuntimeError says why it can't."""
    if runs.done(name) < rounds and not requirements(python, script):
        raise RuntimeError("what it needs can't be installed")
    while runs.done(name) < rounds:
        sides = {side: run(python, script, side) for side in random.sample(SIDES, len(SIDES))}
        runs.add(name, {task: {side: sides[side][task] for side in SIDES} for task in sides["none"]})


def table(runs: Runs, benchmarks: list[str]) -> tuple[list[Table], dict[str, Any]]:
    ratios = {
        task: children.ratio(sides["agent"], sides["none"])
        for name in benchmarks
        for task, sides in runs.tasks.get(name, {}).items()
    }
    mean = math.exp(statistics.fmean(math.log(ratio.median) for ratio in ratios.values()))
    worst = max(ratios, key=lambda task: ratios[task].median)
    rows = [[task, str(ratio)] for task, ratio in sorted(ratios.items(), key=lambda r: -r[1].median)]
    overall = Table(
        "All of them",
        ["benchmarks", "geometric mean", "worst"],
        [[str(len(ratios)), f"{mean:.3f}", f"{ratios[worst].median:.3f} ({worst})"]],
    )
    each = Table("Time against none: median and quartiles", ["benchmark", "ratio"], rows)
    return [overall, each], {task: asdict(ratio) for task, ratio in ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", default=next(iter(builds())), help=f"one of {', '.join(builds())}")
    usual = ",".join(USUAL)
    parser.add_argument("--benchmarks", default=usual, help="comma-separated; default: a fast subset")
    parser.add_argument("--all", action="store_true", help="every benchmark that can be installed and run")
    parser.add_argument("--rounds", type=int, default=5, help="times that each side is run")
    parser.add_argument("--fresh", action="store_true", help="forget the runs of an earlier time")
    args = parser.parse_args()
    python = environment(builds()[args.build], f"pyperformance-{args.build}", ["pyperformance"])
    programs = scripts(python)
    names = list(programs) if args.all else args.benchmarks.split(",")
    runs = Runs(BUILD / f"pyperformance-{args.build}.json", args.fresh)
    failed = {}
    for name in names:
        try:
            complete(python, name, programs[name], args.rounds, runs)
            print(f"  {name}", file=sys.stderr)
        except RuntimeError as error:
            failed[name] = str(error)
            print(f"  {name} left out: {error}", file=sys.stderr)
    tables, data = table(runs, [name for name in names if name not in failed])
    about = (
        f"The whole agent at its defaults against none, {args.rounds} rounds in alternation, on benchmarks "
        "of the pyperformance suite" + (f"; left out: {', '.join(failed)}." if failed else ".")
    )
    command = "python -m benchmarks.pyperformance" + (" --all" if args.all else "")
    machine = {"build": args.build}
    record(Result("pyperformance", 60, "pyperformance", about, command, tables, data, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
