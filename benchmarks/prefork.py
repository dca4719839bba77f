"""gunicorn with worker processes that share what was loaded before they were forked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_LIMIT = 300.0
STOP_LIMIT = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


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
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
