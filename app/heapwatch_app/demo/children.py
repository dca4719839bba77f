"""The demo's processes: started with a log file each, stopped in reverse order, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class StartError(RuntimeError):
    """A part that did not come up; the message ends with what it printed last."""


@dataclass
class Child:
    """One running part of the demo."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class Children:
    """Starts `heapwatch` subcommands in sessions of their own, so that Ctrl-C reaches the demo alone."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = dict(environ)
        self._children: list[Child] = []

    def start(self, name: str, arguments: Sequence[str], **environ: str) -> Child:
        """Start `heapwatch ARGUMENTS` with `environ` added; its output goes to NAME.log."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "heapwatch", *arguments],
                env={**self._environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def run(self, name: str, arguments: Sequence[str], timeout: float, **environ: str) -> None:
        """Start a part that ends by itself and wait for it; StartError when it fails or takes too long."""
        child = self.start(name, arguments, **environ)
        try:
            code = child.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise StartError(f"{name} took longer than {timeout:.0f} s:\n{child.tail()}") from None
        self._children.remove(child)
        if code != 0:
            raise StartError(f"{name} failed with exit code {code}:\n{child.tail()}")

    def wait_line(self, child: Child, prefix: str, timeout: float) -> str:
        """What follows `prefix` on the first line of the child's output that has it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and child.process.poll() is None:
            for line in child.log.read_text(encoding="utf-8", errors="replace").splitlines():
                if prefix in line:
                    return line.split(prefix, 1)[1].strip()
            time.sleep(0.05)
        raise StartError(f"{child.name} did not come up within {timeout:.0f} s:\n{child.tail()}")

    def check(self) -> None:
        """StartError when a part has ended that should run."""
        for child in self._children:
            if child.process.poll() is not None:
                raise StartError(
                    f"{child.name} ended with exit code {child.process.returncode}:\n{child.tail()}"
                )

    def stop(self, patience: float = 10.0) -> None:
        """End all parts, the last started first: SIGTERM, then SIGKILL to what is left of its session."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(patience)
            _kill_session(child.process.pid)
            child.process.wait()
        self._children.clear()


def _kill_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
