"""Attaches: has the process run our code, and waits for what it reports."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heapwatch.attach.errors import AttachError
from heapwatch.attach.images import Memory, mapping_at
from heapwatch.attach.inject import InjectError, current_syscall, inject, threads
from heapwatch.attach.official import RemoteExec, script
from heapwatch.attach.process import check, examine, forbidden, gone
from heapwatch.attach.ptrace import TraceError, hold

PAYLOAD = Path(__file__).with_name("payload.py")
_REPORT_LIMIT = 65536
_LATER = "no agent runs there, nor will later; try again when it is less busy, or with a longer --timeout"


@dataclass(frozen=True)
class Attached:
    """The agent's report (see `inside.start`), and for how many seconds a thread stood still, if known."""

    report: Mapping[str, Any]
    held: float | None


def attach(
    pid: int,
    settings: Mapping[str, str],
    packages: Mapping[str, Sequence[str]],
    timeout: float,
    execute: RemoteExec | None = None,
) -> Attached:
    """Start the agent in process `pid` with `settings`, within `timeout` seconds.

    `packages` are the folders of our packages, that of `__init__.py` first, for a process whose Python
    doesn't find them. AttachError when it can't be done; the process goes on without an agent then, also when
    it would get around to it later. `execute` is CPython's way to do it, instead of ours.
    """
    check(pid)
    deadline = time.monotonic() + timeout
    address = f"heapwatch-attach-{secrets.token_hex(16)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0" + address)
        listener.listen(4)
        order = {
            "address": address,
            "settings": dict(settings),
            "packages": {n: list(f) for n, f in packages.items()},
        }
        with _run(pid, code(order), execute) as held:
            connection = _accept(listener, pid, deadline)
    if connection is None:
        raise AttachError(
            f"process {pid} ran no Python code of ours within {timeout:g} s{_where(pid)}", _LATER
        )
    report = _read_report(connection, deadline)
    if report is None:
        raise AttachError(f"process {pid} didn't load the agent within {timeout:g} s: it is too busy", _LATER)
    if "error" in report:
        raise AttachError(
            f"the agent didn't start in process {pid}: {report['error']}", _how_to_mend(report, packages)
        )
    return Attached(report, held)


def code(order: Mapping[str, Any]) -> str:
    """The Python code that carries out `order`, in a namespace that is nobody else's."""
    program = PAYLOAD.read_text(encoding="utf-8") + f"\ncarry_out({dict(order)!r})\n"
    return f"exec(compile({program!a}, '<heapwatch attach>', 'exec'), {{'__name__': 'heapwatch attach'}})\n"


@contextmanager
def _run(pid: int, program: str, execute: RemoteExec | None) -> Iterator[float | None]:
    if execute is None:
        yield _inject(pid, program)
    else:
        with script(pid, program, execute):
            yield None


def _inject(pid: int, program: str) -> float:
    try:
        return inject(pid, examine(pid).functions, program)
    except InjectError as error:
        raise AttachError(f"process {pid} can't be attached to: {error}", "try again") from None
    except TraceError as error:
        if error.errno == errno.EPERM:
            raise forbidden(pid) from None
        if error.errno == errno.ESRCH:
            raise gone(pid) from None
        raise AttachError(f"process {pid} can't be attached to: {error.strerror}", "try again") from None


def _accept(listener: socket.socket, pid: int, deadline: float) -> socket.socket | None:
    """The connection of process `pid`, and nobody else's; None when none came in time."""
    while True:
        listener.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return None
        if _peer(connection) == pid:
            return connection
        connection.close()


def _read_report(connection: socket.socket, deadline: float) -> dict[str, Any] | None:
    """None when it wasn't there in time."""
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    with connection, connection.makefile("rb") as lines:
        try:
            line = lines.readline(_REPORT_LIMIT)
        except TimeoutError:
            return None
    return dict(json.loads(line)) if line else {"error": "it has just ended"}


def _peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _where(pid: int) -> str:
    """Which library keeps a thread of the process busy, in words."""
    try:
        for tid in threads(pid):
            if current_syscall(pid, tid)[0] < 0:
                with closing(Memory(pid, writable=True)) as memory, hold(tid, memory) as thread:
                    place = thread.instruction
                return (
                    f": {'its main thread' if tid == pid else f'thread {tid}'} is in {mapping_at(pid, place)}"
                )
    except OSError:
        return ""
    return (
        ": each thread waits for something, one of them with the interpreter (GIL) in its hands, as uWSGI"
        " does without --enable-threads"
    )


def _how_to_mend(report: Mapping[str, Any], packages: Mapping[str, Sequence[str]]) -> str:
    error, user = str(report["error"]), report.get("user")
    if error.startswith("ConfigError"):
        return "docs/configuration.md lists all settings; the process's own environment counts, too"
    if user not in (None, os.geteuid()) and error.startswith(("PermissionError", "FileNotFoundError")):
        return f"install heapwatch where user {user} can read it; this one is in {packages['heapwatch'][0]}"
    return "nothing was left behind; the process's log may say more"
