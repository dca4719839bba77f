"""Collects the facts: from the kernel, from the agent where there is one, from py-spy where there is none."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from heapwatch_wire.evidence import Evidence, from_json

from heapwatch.cgroup import CgroupReader
from heapwatch.cli.doctor.allocations import can_watch, find_command
from heapwatch.cli.doctor.facts import AgentFacts, Facts, Machine
from heapwatch.control.client import Client, ControlError
from heapwatch.memory.breakdown import divide
from heapwatch.memory.mappings import read_mappings
from heapwatch.process import ProcessReader
from heapwatch.stalls import read_stalls

PROC = Path("/proc")
PY_SPY_LIMIT = 4.0
SITES = 5

T = TypeVar("T")


class Watched(NamedTuple):
    """A process at a moment: bytes, page faults since its start."""

    rss: int
    faults: int


def gather(pids: Sequence[int], asking: Client, watch: float) -> list[Facts]:
    """The facts of each process, all watched for `watch` seconds; those that end meanwhile are left out.

    Raises OSError when none is left that can be read.
    """
    began = time.monotonic()
    # At once, so that those that don't answer are waited for together.
    with ThreadPoolExecutor(max_workers=len(pids)) as pool:
        before = list(pool.map(_or_error(_watched), pids))
        gathered = list(pool.map(_or_error(lambda pid: _facts(pid, asking)), pids))
    time.sleep(max(0.0, watch - (time.monotonic() - began)))
    seconds = time.monotonic() - began
    found, refused = [], None
    for pid, then, facts in zip(pids, before, gathered, strict=True):
        now = _or_error(_watched)(pid)
        if isinstance(facts, Facts) and isinstance(then, Watched) and isinstance(now, Watched):
            growth, faults = (now.rss - then.rss) / seconds, (now.faults - then.faults) / seconds
            found.append(replace(facts, growth=growth, faults=faults, watched=seconds))
        refused = next((each for each in (then, facts, now) if isinstance(each, OSError)), refused)
    if not found and refused is not None:
        raise refused
    return found


def read_machine(proc: Path = PROC) -> Machine:
    """Memory of this machine."""
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
        if rest.endswith(" kB")
    }
    stalls = read_stalls(proc / "pressure" / "memory")
    waited = stalls.some / 100 if stalls is not None else 0.0
    return Machine(sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0), waited)


def is_python(pid: int, proc: Path = PROC) -> bool:
    """Whether the program is Python, or has it inside, as uWSGI does; False when that can't be read."""
    folder = proc / str(pid)
    try:
        return "python" in (folder / "exe").readlink().name or b"libpython" in (folder / "maps").read_bytes()
    except OSError:
        return False


def is_worker(pid: int, proc: Path = PROC) -> bool:
    """Whether the parent has the same command line; False when there is none in sight."""
    try:
        parent = ProcessReader(proc, str(pid)).parent()
        return (proc / str(pid) / "cmdline").read_bytes() == (proc / str(parent) / "cmdline").read_bytes()
    except OSError:
        return False


def _or_error(read: Callable[[int], T]) -> Callable[[int], T | OSError]:
    """`read` with its OSError as a result: of many processes one may end."""

    def result(pid: int) -> T | OSError:
        try:
            return read(pid)
        except OSError as error:
            return error

    return result


def _watched(pid: int) -> Watched:
    reader = ProcessReader(process=str(pid))
    return Watched(reader.resident().rss, reader.faults())


def _facts(pid: int, asking: Client) -> Facts:
    folder, agent, silent = PROC / str(pid), None, ""
    reader = ProcessReader(process=str(pid))
    breakdown = None
    if asking.has_agent(pid):
        try:
            agent, breakdown = _ask(pid, asking), asking.call(pid, "memory")
        except ControlError as error:
            silent = str(error)
    if breakdown is None:
        breakdown = divide(read_mappings(process=str(pid))).to_json()
    return Facts(
        pid=pid,
        command=" ".join((folder / "cmdline").read_bytes().decode(errors="replace").split("\0")).strip(),
        uptime=time.time() - reader.start_time(),
        status=reader.status(),
        machine=read_machine(),
        descriptors_limit=_descriptors_limit(folder),
        container=CgroupReader(process=str(pid)).memory(),
        parts=breakdown["parts"],
        fragmentation=breakdown["fragmentation"],
        trimmable=breakdown["trimmable"],
        agent=agent,
        silent=silent,
        threads=() if agent else _py_spy(pid),
        python=agent is not None or bool(silent) or is_python(pid),
        memray=agent is None and can_watch(),
        worker=is_worker(pid),
    )


def _ask(pid: int, asking: Client) -> AgentFacts:
    info, stats, garbage = (asking.call(pid, method) for method in ("info", "stats", "gc"))
    if info["reason"]:
        return AgentFacts(info, stats, garbage)
    evidence = [from_json(Evidence, each) for each in asking.call(pid, "leaks")["documents"]]
    evidence.sort(key=lambda each: -each.growth.bytes_per_second)
    sites = asking.call(pid, "top", limit=SITES)["sites"]
    return AgentFacts(info, stats, garbage, tuple(sites), tuple(evidence))


def _descriptors_limit(folder: Path) -> int:
    line = next(
        line for line in (folder / "limits").read_text().splitlines() if line.startswith("Max open files")
    )
    soft = line.split()[3]
    return int(soft) if soft.isdecimal() else 0


def _py_spy(pid: int) -> tuple[str, ...]:
    """What each thread does, when py-spy is installed and may look."""
    command = find_command("py-spy")
    if command is None:
        return ()
    try:
        done = subprocess.run(
            [command, "dump", "--json", "--nonblocking", "--pid", str(pid)],
            capture_output=True,
            text=True,
            timeout=PY_SPY_LIMIT,
            check=False,
        )
        threads = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()
    return tuple(_thread(thread) for thread in threads if thread.get("frames"))


def _thread(thread: Mapping[str, Any]) -> str:
    frame = thread["frames"][0]
    state = "runs" if thread.get("active") else "waits in"
    place = f"{frame['name']} ({frame.get('short_filename') or frame['filename']}:{frame['line']})"
    return f"{thread.get('thread_name') or thread.get('thread_id')} {state} {place}"
