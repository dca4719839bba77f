"""Starts the child, passes on its progress, and turns every end it may come to into a report or an error."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from io import RawIOBase
from pathlib import Path
from typing import Any

import heapwatch_wire

import heapwatch
from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.position import ELSEWHERE, Position, named, shared_file
from heapwatch.leaktest.report import Report, from_json
from heapwatch.preload import CannotPreload, native_library, preload

PRELOAD = "LD_PRELOAD"
LOOK = 0.1
"""Seconds between two looks at whether the child hangs."""
_PIPE = 1 << 16
END_WITHIN = 5.0
"""Seconds that the child's own exit handlers may take after its report."""
END_INTERRUPTED_WITHIN = 1.0


class TestFailed(Exception):
    """No verdict: the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


class TimedOut(TestFailed):
    """The child is where it was for longer than the plan allows."""


def run(plan: Plan, progress: Callable[[int, int], None]) -> Report:
    """The report on the plan's file, run in a child process of the same Python, which has ended then.

    What the file prints goes to stderr. Raises TestFailed when there is no verdict.
    """
    if not Path(plan.file).is_file():
        raise TestFailed(f"{plan.file}: no such file", "name a Python file that defines step(i)")
    shared = shared_file()
    try:
        position = Position(shared)
        child, pipe = _start(plan, shared)
    finally:
        os.close(shared)
    patience = END_WITHIN
    try:
        with os.fdopen(pipe, "rb", buffering=0) as stream:
            return _report(stream, child, plan, progress, Watch(plan, position))
    except TimedOut:
        patience = 0.0
        raise
    except KeyboardInterrupt:  # typed at a terminal, it reached the child as well
        patience = END_INTERRUPTED_WITHIN
        raise
    finally:
        _end(child, patience)


class Watch:
    """Raises TimedOut when loading the file, its setup() or one step takes longer than the plan allows."""

    def __init__(self, plan: Plan, position: Position) -> None:
        self._plan = plan
        self._position = position
        self._seen = ELSEWHERE
        self._since = 0.0

    def look(self, now: float) -> None:
        """Where the child is at `now`, in monotonic seconds."""
        position, limit = self._position.now, self._plan.timeout
        if position == ELSEWHERE or position != self._seen:
            self._seen, self._since = position, now
        elif limit and now - self._since > limit:
            raise TimedOut(
                f"{named(position)} {self._plan.file} took longer than {limit:g} s",
                "give it more with --timeout SECONDS; 0 is no limit",
            )


def _start(plan: Plan, shared: int) -> tuple[subprocess.Popen[bytes], int]:
    """The child, and where to read what it tells."""
    reading, writing = os.pipe()
    environment = _environment(plan)
    # The child puts back what was preloaded, for processes that the file starts.
    present = environment.get(PRELOAD, "")
    with contextlib.suppress(CannotPreload):  # Then malloc's level says whether C code leaks, but not where.
        environment[PRELOAD] = preload(native_library(), present=present)
    arguments = [str(writing), str(shared), json.dumps(asdict(plan)), present]
    command = [sys.executable, "-P", "-m", "heapwatch.leaktest.child", *arguments]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        child = subprocess.Popen(
            command, pass_fds=[writing, shared], stdout=sys.stderr.fileno(), env=environment
        )
    finally:
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child, reading


def _report(
    pipe: RawIOBase,
    child: subprocess.Popen[bytes],
    plan: Plan,
    progress: Callable[[int, int], None],
    watch: Watch,
) -> Report:
    """Pass on the progress until there is a report."""
    steps = 0
    for message in _messages(pipe, watch):
        if "report" in message:
            return from_json(message["report"])
        if "error" in message:
            raise TestFailed(message["error"])
        steps = message["done"]
        progress(steps, message["of"])
    raise _ended(child.wait(), steps, plan)


def _messages(pipe: RawIOBase, watch: Watch) -> Iterator[dict[str, Any]]:
    """What the child tells, while the watch has nothing to say."""
    begun = b""
    while True:
        while not select.select([pipe], [], [], LOOK)[0]:
            watch.look(time.monotonic())
        told = pipe.read(_PIPE)
        if not told:
            return
        *lines, begun = (begun + told).split(b"\n")
        yield from map(json.loads, lines)


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


def _end(child: subprocess.Popen[bytes], within: float) -> None:
    """Let the child finish, then make it."""
    try:
        child.wait(within)
    except subprocess.TimeoutExpired:
        pass
    finally:
        child.kill()
        child.wait()
