"""Servers that benchmarks start: ports, waiting, worker processes, a collector that takes everything."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_LIMIT = 300.0
STOP_LIMIT = 20.0


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now, each another."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def children(pid: int) -> list[int]:
    """Pids of the workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], bool], limit: float, what: str) -> None:
    """RuntimeError when it takes longer than `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {limit:.0f} s for {what}")
        time.sleep(0.1)


@contextmanager
def gunicorn(
    module: str, workers: int, options: Sequence[str], env: Mapping[str, str]
) -> Iterator[tuple[int, int]]:
    """`module` as both configuration and `application`: (pid of the main process, port), once it listens."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", f"python:{module}", "-b", f"127.0.0.1:{port}"]
    command += ["-w", str(workers), "--log-level", "warning", *options, f"{module}:application"]
    process = subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True)

    def listens() -> bool:
        if process.poll() is not None:
            raise RuntimeError("gunicorn did not start; its reason is above")
        return len(children(process.pid)) == workers and reachable(port)

    try:
        wait_for(listens, START_LIMIT, "gunicorn")
        yield process.pid, port
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that has a session of its own, with all its children when that takes too long."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Sink(http.server.BaseHTTPRequestHandler):
    """A collector that takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        json = "json" in self.headers.get("Content-Type", "")
        body = b"{}" if json else b""
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if json else "application/proto")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
