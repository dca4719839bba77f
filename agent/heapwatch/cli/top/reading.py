"""What the agents of some processes say at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from heapwatch.cgroup import CgroupReader
from heapwatch.cli.doctor.facts import Machine, bound
from heapwatch.cli.doctor.gather import read_machine
from heapwatch.control.client import Client, ControlError, parents

MAX_SITES = 1000
_AT_ONCE = 16

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """The answers of the agent in process `pid`; `time` in monotonic seconds, `used` of `limit` in bytes.

    `main` is the outermost of its ancestors that has an agent, or the process itself. One whose agent doesn't
    answer has only `silent`, the reason.
    """

    pid: int
    main: int
    time: float
    info: Answer = field(default_factory=dict)
    sites: Sequence[Answer] = ()
    garbage: Answer = field(default_factory=dict)
    requests: Answer = field(default_factory=dict)
    used: int = 0
    limit: int = 0
    silent: str = ""


def read(asking: Client, pids: Sequence[int]) -> list[Reading]:
    """A reading of each process; those that have just ended are left out."""
    mains, machine = _mains(pids, dict(parents())), read_machine()

    def one(pid: int) -> Reading | None:
        try:
            return _read(asking, pid, mains[pid], machine)
        except ControlError as error:
            alive = asking.has_agent(pid)
            why = str(error).removeprefix(f"process {pid} ")
            return Reading(pid, mains[pid], time.monotonic(), silent=why) if alive else None

    # At once, so that those that don't answer are waited for together.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [reading for reading in pool.map(one, pids) if reading is not None]


def _read(asking: Client, pid: int, main: int, machine: Machine) -> Reading:
    info = asking.call(pid, "info")
    sites = () if info["reason"] else asking.call(pid, "top", limit=MAX_SITES)["sites"]
    garbage, requests = asking.call(pid, "gc"), asking.call(pid, "requests")
    used, limit, _ = bound(CgroupReader(process=str(pid)).memory(), machine)
    return Reading(pid, main, time.monotonic(), info, sites, garbage, requests, used, limit)


def _mains(pids: Iterable[int], parent: Mapping[int, int]) -> dict[int, int]:
    known = set(pids)
    return {pid: _outermost(pid, known, parent.get) for pid in known}


def _outermost(pid: int, known: set[int], parent: Callable[[int], int | None]) -> int:
    main, above = pid, parent(pid)
    while above:
        main = above if above in known else main
        above = parent(above)
    return main
