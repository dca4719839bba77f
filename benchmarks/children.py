"""Measurements in child processes, taken in turn so that drift of the machine hits all alike."""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT

CALLGRIND = ["valgrind", "--tool=callgrind", "-q", "--dump-before=getpriority"]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0"}


def run(python: Path, arguments: Sequence[str], prefix: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object that `python ARGUMENTS` prints last; RuntimeError with what it said if it fails."""
    command = [*prefix, str(python), *arguments]
    done = subprocess.run(command, check=False, env=_environment(), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Served:
    """A child that stays and measures a block of work whenever it is asked, in JSON objects line by line."""

    def __init__(self, python: Path, arguments: Sequence[str], prefix: Sequence[str] = ()) -> None:
        self._command = [*prefix, str(python), *arguments]
        self._child = subprocess.Popen(
            self._command,
            env=_environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, units: int) -> dict[str, float]:
        """RuntimeError when the child has ended instead."""
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{units}\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self._command)} ended; what it said is above")
        found: dict[str, float] = json.loads(line)
        return found

    def close(self) -> None:
        self._child.communicate()


def mark() -> None:
    """Called by a child before and after what is measured: its instructions are counted between the two."""
    os.getpriority(os.PRIO_PROCESS, 0)


def instructions_per_unit(python: Path, arguments: Sequence[str], units: int, repeats: int) -> float:
    """Of one unit of work of the child, by callgrind: the median of `repeats` runs of `units` units each.

    A tool that draws samples at random lays out memory differently each time, which moves a single run by
    some tenths of a percent.
    """
    run(python, [*arguments, "--units", "1"])  # so that no module is left to be compiled
    command = [*arguments, "--units", str(units)]
    return statistics.median(_instructions(python, command) for _ in range(repeats)) / units


def _instructions(python: Path, arguments: Sequence[str]) -> int:
    return events(python, arguments)["Ir"]


def events(python: Path, arguments: Sequence[str], options: Sequence[str] = ()) -> dict[str, int]:
    """What callgrind counts between the marks, by its names: Ir are instructions."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        run(python, arguments, [*CALLGRIND, *options, f"--callgrind-out-file={out}"])
        # Part 1 ends at the first mark, part 2 at the second.
        text = Path(f"{out}.2").read_text()
    names, counts = (re.search(rf"^{key}: (.*)", text, re.MULTILINE) for key in ("events", "totals"))
    if not names or not counts:
        raise RuntimeError(f"callgrind counted nothing for {' '.join(arguments)}")
    return dict(zip(names[1].split(), map(int, counts[1].split()), strict=True))


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of `runs` ratios, each to the reference in the same round."""

    median: float
    low: float
    high: float
    runs: int

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}–{self.high:.3f})"


def alternate(
    names: Sequence[str], measure: Callable[[str], dict[str, float]], rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Measures all names once in each round, in a new random order; the first round warms the machine up."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in random.sample(list(names), len(names)):
            found = measure(name)
            if number:
                measured[name].append(found)
    return measured


def ratio(runs: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Of each run to the reference run of the same round."""
    ratios = [run / base for run, base in zip(runs, reference, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Ratio(statistics.median(ratios), low, high, len(ratios))
