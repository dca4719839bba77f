"""Collects the facts: from the kernel, from the agent where there is one, from py-spy where there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heapwatch_wire.evidence import Evidence, from_json

from heapwatch.cgroup import CgroupReader
from heapwatch.cli.doctor.facts import AgentFacts, Facts, Machine
from heapwatch.control.client import Client, ControlError
from heapwatch.gctuner.pressure import stalled
from heapwatch.memory.breakdown import divide
from heapwatch.memory.mappings import read_mappings
from heapwatch.process import ProcessReader

PY_SPY_LIMIT = 4.0
SITES = 5


def gather(pids: Sequence[int], asking: Client, watch: float) -> list[Facts]:
    """The facts of each process, all watched for `watch` seconds.

    Raises OSError when a process is gone or can't be read.
    """
    readers = {pid: ProcessReader(process=str(pid)) for pid in pids}
    before, began = {pid: reader.resident().rss for pid, reader in readers.items()}, time.monotonic()
    gathered = [_facts(pid, reader, asking) for pid, reader in readers.items()]
    time.sleep(max(0.0, watch - (time.monotonic() - began)))
    watched = time.monotonic() - began
    return [
        replace(
            facts, growth=(readers[facts.pid].resident().rss - before[facts.pid]) / watched, watched=watched
        )
        for facts in gathered
    ]


def read_machine(proc: Path = Path("/proc")) -> Machine:
    """Memory of this machine."""
    sizes = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in (proc / "meminfo").read_text().splitlines())
        if rest.endswith(" kB")
    }
    stalls = stalled(proc / "pressure" / "memory")
    return Machine(sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0), stalls / 100)


def _facts(pid: int, reader: ProcessReader, asking: Client) -> Facts:
    folder, agent, silent = Path("/proc") / str(pid), None, ""
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
    command = shutil.which(
        "py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    )
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
