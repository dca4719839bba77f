"""`heapwatch top` on a terminal, watching a service under gunicorn."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gunicorn")
pytest.importorskip("flask")
pytestmark = pytest.mark.integration

APP = """
from flask import Flask
app = Flask(__name__)
kept = []

@app.get("/keep")
def keep():
    kept.append([str(number) * 50 for number in range(2000)])
    return "kept"
"""
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[\d;]+)(?:;\d+)*m")
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from heapwatch.cli import main; sys.exit(main())"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    return {"HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"), "HEAPWATCH_SAMPLING_INTERVAL": "4096"}


@pytest.fixture
def shop(
    spawn: Any, wait_until: Any, free_port: Any, heapwatch: list[str], tmp_path: Path, place: dict[str, str]
) -> int:
    """The pid of a gunicorn whose worker has answered requests."""
    (tmp_path / "shop.py").write_text(APP)
    port = free_port()
    server = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "shop:app"]
    child = spawn(*heapwatch, "run", "--service", "shop", "--", *server, env=place, cwd=tmp_path)
    child.wait_line("Booting worker")

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        try:
            connection.request("GET", "/keep")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    for _ in range(3):
        wait_until(answers, what="the service answers")
    wait_until(lambda: len(list((tmp_path / "run").glob("*.sock"))) == 2, what="sockets")
    return int(child.pid)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 130, 0, 0))
            os.execvpe(command[0], command, environ)
        self.raw = ""

    def wait(self, text: str, limit: float = 120.0) -> None:
        """Read until `text` is shown."""
        deadline = time.monotonic() + limit
        while text not in CODES.sub("", self.raw):
            assert time.monotonic() < deadline, f"{text!r} is not shown:\n{self.raw}"
            self._read(0.1)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())
        self.raw = ""

    def end(self, limit: float = 120.0) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + limit
        while (ended := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < deadline, f"still runs:\n{self.raw}"
            self._read(0.05)
        self.pid = 0
        return os.waitstatus_to_exitcode(ended[1])

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def _read(self, seconds: float) -> None:
        if select.select([self._terminal], [], [], seconds)[0]:
            try:
                self.raw += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # nobody writes to it any more
                time.sleep(seconds)


@pytest.fixture
def terminal(place: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*command: str, **environ: str) -> Terminal:
        inherited = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
        opened.append(Terminal(list(command), {**inherited, "TERM": "xterm", **place, **environ}))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_keys_choose_what_a_terminal_shows(
    shop: int, terminal: Callable[..., Terminal], heapwatch: list[str]
) -> None:
    without = [sys.executable, "-c", WITHOUT_RICH]
    for command, environ in ((heapwatch, {"NO_COLOR": "1"}), (without, {})):
        shown = terminal(*command, "top", str(shop), "--interval", "0.5", **environ)
        shown.wait("sites, by live")
        shown.wait("shop: 2 processes")
        shown.wait("rates of the last")
        assert not COLOUR.search(shown.raw)
        shown.press("s")
        shown.wait("sites, by growth/min")
        shown.press("2")
        shown.wait("gc, by GC time")
        shown.press("\t")
        shown.wait("GET /keep")
        shown.press("q")
        assert shown.end() == 0


def test_a_pipe_gets_all_once_and_documents_line_by_line(
    shop: int, spawn: Any, wait_until: Any, heapwatch: list[str], place: dict[str, str]
) -> None:
    once = spawn(*heapwatch, "top", env=place)
    wait_until(lambda: once.process.poll() is not None, what="the end")
    assert once.stop() == 0, once.output
    assert str(shop) in once.output
    assert all(f"{section}, by " in once.output for section in ("sites", "gc", "endpoints"))

    options = ["--service", "shop", "--json", "--watch", "--interval", "0.2"]
    watching = spawn(*heapwatch, "top", *options, env=place)

    def documents() -> list[dict[str, Any]]:
        whole = [json.loads(line) for line in watching.lines if line.startswith("{")]
        return whole if any(each["window"] and each["endpoints"] for each in whole) else []

    first, *_, latest = wait_until(documents, what="documents")
    assert first["window"] is None
    assert set(latest) == {"time", "window", "processes", "sites", "gc", "endpoints"}
    assert (latest["endpoints"][0]["name"], latest["endpoints"][0]["requests"]) == ("GET /keep", 3)
    assert {process["main"] for process in latest["processes"]} == {shop}
