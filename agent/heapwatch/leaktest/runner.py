"""Starts the child, passes on its progress, and turns every end it may come to into a report or an error."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import heapwatch_wire

import heapwatch
from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.report import Report, from_json
from heapwatch.preload import CannotPreload, native_library, preload

PRELOAD = "LD_PRELOAD"
END_WITHIN = 5.0
"""Seconds that the child's own exit handlers may take after its report."""


class TestFailed(Exception):
    """No verdict: the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


def run(plan: Plan, progress: Callable[[int, int], None]) -> Report:
    """The report on the plan's file, run in a child process of the same Python.

    What the file prints goes to stderr. Raises TestFailed when there is no verdict.
    """
    if not Path(plan.file).is_file():
        raise TestFailed(f"{plan.file}: no such file", "name a Python file that defines step(i)")
    reading, writing = os.pipe()
    environment = _environment(plan)
    # The child puts back what was preloaded, for processes that the file starts.
    present = environment.get(PRELOAD, "")
    with contextlib.suppress(CannotPreload):  # Then malloc's level says whether C code leaks, but not where.
        environment[PRELOAD] = preload(native_library(), present=present)
    command = [
        sys.executable,
        "-P",
        "-m",
        "heapwatch.leaktest.child",
        str(writing),
        json.dumps(asdict(plan)),
        present,
    ]
    try:
        child = subprocess.Popen(command, pass_fds=[writing], stdout=sys.stderr.fileno(), env=environment)
    finally:
        os.close(writing)
    steps = 0
    try:
        with os.fdopen(reading, encoding="utf-8") as pipe:
            for line in pipe:
                message = json.loads(line)
                if "report" in message:
                    return from_json(message["report"])
                if "error" in message:
                    raise TestFailed(message["error"])
                steps = message["done"]
                progress(steps, message["of"])
        raise _ended(child.wait(), steps, plan)
    finally:
        _end(child)


def _environment(plan: Plan) -> dict[str, str]:
    """The child's: Python's usual allocators, which the sampler needs, and a fixed hash seed if wanted."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONMALLOC", "PYTHONTRACEMALLOC")}
    # Whatever way this package was found, the child finds it.
    roots = [str(Path(str(package.__file__)).resolve().parents[1]) for package in (heapwatch, heapwatch_wire)]
    path = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *roots]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    if plan.seed is not None:
        environment["PYTHONHASHSEED"] = str(plan.seed % 2**32)
    return environment


def _ended(code: int, steps: int, plan: Plan) -> TestFailed:
    after = f"after {steps:,} steps" if steps else "before its warm-up was done"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        hint = "it may have run out of memory: try fewer --steps" if -code == signal.SIGKILL else ""
        return TestFailed(f"{plan.file} was ended by signal {-code} ({name}) {after}", hint)
    return TestFailed(f"{plan.file} ended its process with exit code {code} {after}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let the child finish, then make it."""
    try:
        child.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
