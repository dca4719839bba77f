"""Python programs that run without an agent, and the command that attaches to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

WITHOUT_HEAPWATCH = getattr(sys, "_base_executable", sys.executable)

PRELUDE = """
import asyncio, ctypes, hashlib, json, os, re, signal, socket, sys, threading, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends when the tests are killed
kept = []
def keep():
    kept.append([bytes(1000) for _ in range(100)])
    del kept[:-50]
def tell(*_):
    maps = open("/proc/self/maps").read()
    print("state", json.dumps({
        "path": sys.path,
        "names": sorted(vars(sys.modules["__main__"])),
        "ours": sorted(name for name in sys.modules if name.startswith("heapwatch")),
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
        "code pages": len(re.findall("r-xp 00000000 00:00 0 *$", maps, re.M)),
        "kept": len(kept),
    }), flush=True)
def ready():
    print("ready", flush=True)
def busy():
    while True:
        for _ in range(200):
            [str(number) for number in range(100)]
        keep()
signal.signal(signal.SIGUSR1, tell)
"""


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Environment of a service and of the commands that look at it."""
    return {"HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def target(spawn: Callable[..., Any], place: dict[str, str]) -> Callable[..., Any]:
    """target(program, python) -> a process that runs the program after PRELUDE until `ready()`.

    The default Python doesn't have heapwatch.
    """

    def start(program: str, python: str = WITHOUT_HEAPWATCH) -> Any:
        child = spawn(python, "-c", PRELUDE + program, env={**place, "PYTHONPATH": ""})
        child.wait_line("ready")
        return child

    return start


@pytest.fixture
def command(heapwatch: Sequence[str], place: dict[str, str]) -> Callable[..., str]:
    """command(*arguments, code=0) -> what the command printed."""

    def call(name: str, *arguments: object, code: int = 0) -> str:
        patience = ["--timeout", "240"] if name == "attach" and "--timeout" not in arguments else []
        done = subprocess.run(
            [*heapwatch, name, *patience, *map(str, arguments)],
            env={**os.environ, **place},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


@pytest.fixture
def state_of(wait_until: Callable[..., Any]) -> Callable[[Any], dict[str, Any]]:
    """state_of(child) -> what the process says about itself now, in its main thread."""

    def ask(child: Any) -> dict[str, Any]:
        def told() -> list[str]:
            return [line for line in list(child.lines) if line.startswith("state ")]

        before = len(told())
        os.kill(child.pid, signal.SIGUSR1)
        wait_until(lambda: len(told()) > before, what="the state of the process")
        state: dict[str, Any] = json.loads(told()[-1].removeprefix("state "))
        return state

    return ask
