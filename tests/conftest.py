"""What all rooms' tests share: waiting without sleeping, free ports, children stopped by pid."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # an environment that runs only the tests without properties
    pass
else:
    unhurried = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("fast", max_examples=50, derandomize=True, **unhurried)
    settings.register_profile("thorough", max_examples=2000, **unhurried)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 240.0
"""Seconds after which a test gives up waiting: ten times what a slow and busy machine takes."""

# A worker that a busy machine keeps waiting isn't hung; killed amid a request it would answer 500.
os.environ.setdefault("GUNICORN_CMD_ARGS", "--timeout 300")


class Child:
    """A process started by a test, with what it printed so far; stopped by pid when the test ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None) -> None:
        self.process = subprocess.Popen(
            list(command),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, text: str, timeout: float = DEADLINE) -> str:
        """The first printed line that contains `text`; fails with all output when it doesn't come."""
        wait_until(lambda: self._find(text) is not None or self.process.poll() is not None, timeout, text)
        self._reader.join(10.0 if self.process.poll() is not None else 0.0)
        line = self._find(text)
        assert line is not None, f"{text!r} was not printed (exit {self.process.poll()}):\n{self.output}"
        return line

    def _find(self, text: str) -> str | None:
        return next((line for line in list(self.lines) if text in line), None)

    def stop(self, timeout: float = DEADLINE / 4) -> int:
        """SIGTERM, then SIGKILL to the whole group after `timeout`; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self._reader.join(10.0)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def wait_until(condition: Callable[[], Any], timeout: float = DEADLINE, what: str = "") -> Any:
    """The first true result of `condition`, asked every 20 ms; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        pause.wait(0.02)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    return wait_until


@pytest.fixture
def spawn() -> Iterator[Callable[..., Child]]:
    """spawn(*command, env=None, cwd=None) -> Child; all are stopped when the test ends."""
    children: list[Child] = []

    def start(*command: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Child:
        children.append(Child(command, env, cwd))
        return children[-1]

    yield start
    for child in reversed(children):
        child.stop()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """free_port() -> a TCP port that nobody listens on, another one each time.

    From below those that the kernel gives to whoever asks for any: nobody gets it before its server starts.
    """
    # Not the test's own dice, which are thrown alike in each test.
    ports = random.SystemRandom().sample(range(20_000, 32_000), 12_000)

    def find() -> int:
        while True:
            port = ports.pop()
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port

    return find


@pytest.fixture(scope="session")
def heapwatch() -> list[str]:
    """The `heapwatch` command of the environment that runs the tests, as the start of a command line."""
    return [sys.executable, "-m", "heapwatch"]


def misfits_of(shape: Any, value: Any, where: str = "") -> Iterator[str]:
    """Where `value` isn't as `shape` says."""
    if isinstance(shape, str):
        if isinstance(value, (dict, list)) or (value is None and not shape.endswith("?")):
            yield f"{where}: {value!r:.60} is no {shape}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where}: {value!r:.60} is no list"
            return
        for number, each in enumerate(value):
            yield from misfits_of(shape[0], each, f"{where}[{number}]")
    elif "..." not in shape:
        if not isinstance(value, dict):
            yield f"{where}: {value!r:.60} is no object"
            return
        for key, each in shape.items():
            name = key.removesuffix("?")
            for found in value if key.isupper() else [name]:
                if found in value:
                    yield from misfits_of(each, value[found], f"{where}.{found}")
                elif name == key:
                    yield f"{where}.{key} is missing"


@pytest.fixture
def misfits() -> Callable[[Any, Any], list[str]]:
    """misfits(shape, value) -> where a command's JSON isn't as its shape (`heapwatch_wire.shapes`) says."""
    return lambda shape, value: list(misfits_of(shape, value))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Not for the whole session: while it runs, Playwright occupies this thread's event loop."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            timeout=1000 * DEADLINE,
        )
        yield launched
        launched.close()


@pytest.fixture
def browse(browser: Any) -> Iterator[Callable[..., Any]]:
    """browse(**options) -> a context of the browser's that waits for long for each thing it is asked for."""
    contexts: list[Any] = []

    def start(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(1000 * DEADLINE)
        return contexts[-1]

    yield start
    for context in contexts:
        context.close()
