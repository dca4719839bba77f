"""What a process without an agent allocates: memray says it, once a debugger has put it in.

Only when asked for: this changes the process. A debugger stops it for as long as it reads symbols, some
seconds where there are many libraries; then memray writes down each allocation, for a while.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from heapwatch.cli.doctor.facts import Allocated
from heapwatch.cli.options import Failure

LONGEST = 30
"""Seconds that memray may stay: its file grows with each allocation."""

_LINES = 5
ATTACHING = 120.0
ENDING = 20.0
"""Seconds that a debugger may take to get in, and to let go of the process when that takes too long."""
_LEAVING = 10.0
_PROC = Path("/proc")

Find = Callable[[str], str | None]


def find_command(name: str) -> str | None:
    """Where a program is: beside this Python, or on the path."""
    return shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))


def can_watch(find: Find = find_command) -> bool:
    """Whether what it needs is installed on this side."""
    return find("memray") is not None and (find("gdb") or find("lldb")) is not None


def watch_allocations(
    pid: int,
    seconds: int,
    find: Find = find_command,
    attaching: float = ATTACHING,
    ending: float = ENDING,
) -> tuple[Allocated, ...]:
    """The lines that allocated most in process `pid` in so many `seconds`, kept or not.

    Failure when something is missing or the process can't be looked into: then it is as it was.
    """
    memray = _tool(pid, find)
    with tempfile.TemporaryDirectory(prefix="heapwatch-memray-") as folder:
        file = Path(folder, "allocations.bin")
        _let_write(pid, folder)
        words = ["attach", "--trace-python-allocators", "--duration", str(seconds), "-o", str(file)]
        _call([memray, *words, str(pid)], attaching, ending)
        _wait_until_closed(pid, file, seconds + _LEAVING)
        told = file.with_suffix(".json")
        _call([memray, "stats", "--json", "-n", str(_LINES), "-o", str(told), str(file)], attaching, ending)
        return read_statistics(told.read_text())


def read_statistics(text: str) -> tuple[Allocated, ...]:
    """The lines in what `memray stats --json` wrote, largest first; a place without a line is left out."""
    found = []
    for row in json.loads(text)["top_allocations_by_size"]:
        place, _, line = str(row["location"]).rpartition(":")
        function, _, file = place.partition(":")
        if line.isdecimal() and file:
            found.append(Allocated(function, file, int(line), int(row["size"])))
    return tuple(found)


def _tool(pid: int, find: Find) -> str:
    """The memray command. Failure, with the mend, where it can't work."""
    memray = find("memray")
    if memray is None:
        raise Failure("memray is not installed here", "pip install 'heapwatch[profilers]'")
    if not (find("gdb") or find("lldb")):
        raise Failure(
            "memray needs a debugger, and neither gdb nor lldb is installed",
            f"install one, or let heapwatch attach {pid} do it, which needs none",
        )
    if (_PROC / str(pid) / "ns/mnt").readlink() != (_PROC / "self/ns/mnt").readlink():
        raise Failure(
            f"process {pid} is in a container: memray could not hand its file over",
            "run the command inside the container",
        )
    return memray


def _let_write(pid: int, folder: str) -> None:
    """The process opens the file itself."""
    owner = (_PROC / str(pid)).stat()
    if owner.st_uid != os.geteuid():
        os.chown(folder, owner.st_uid, owner.st_gid)


def _call(command: Sequence[str], limit: float, ending: float) -> None:
    """Run it; Failure with its last words when it fails or lasts longer than `limit` seconds."""
    # Into a file: one that is left alone must not die of a pipe that nobody reads.
    with tempfile.TemporaryFile() as output:
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            running.wait(limit)
        except subprocess.TimeoutExpired:
            _make_end(running, ending)
            raise Failure(f"memray did not get into the process within {limit:g} seconds") from None
        except KeyboardInterrupt:
            _make_end(running, ending)
            raise
        output.seek(0)
        said = output.read().decode(errors="replace")
    if running.returncode:
        last = said.strip().splitlines()[-1:] or ["no reason given"]
        raise Failure(f"memray: {last[0]}", _mend(said))


def _make_end(running: subprocess.Popen[bytes], ending: float) -> None:
    """Ask memray and its debugger to let go; Failure when they don't within `ending` seconds."""
    # Not SIGKILL: a debugger that is killed leaves breakpoints behind, and the process dies of them.
    os.killpg(running.pid, signal.SIGTERM)
    try:
        running.wait(ending)
    except subprocess.TimeoutExpired:
        threading.Thread(target=running.wait, daemon=True).start()  # it is no zombie when it ends after all
        raise Failure(
            f"memray's debugger does not let go of the process: process group {running.pid} runs on",
            f"wait for it; kill -9 -{running.pid} ends it, but the process may die of that",
        ) from None


def _mend(said: str) -> str:
    if "No module named 'memray'" in said:
        return "install memray in the process's own environment: it is loaded there"
    if "attach a debugger" in said or "not permitted" in said:
        return "run the command as root, or let /proc/sys/kernel/yama/ptrace_scope allow it"
    return ""


def _wait_until_closed(pid: int, file: Path, limit: float) -> None:
    end = time.monotonic() + limit
    while _has_open(pid, file):
        if time.monotonic() > end:
            raise Failure(f"memray is still in process {pid}", f"memray detach {pid} takes it out")
        time.sleep(0.05)


def _has_open(pid: int, file: Path) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if descriptor.readlink() == file:
                    return True
    return False
