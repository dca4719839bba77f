"""What a diagnosis is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from heapwatch_wire.evidence import Evidence

from heapwatch.cgroup import ContainerMemory
from heapwatch.process import ProcessStatus


@dataclass(frozen=True)
class Machine:
    """Bytes. `stalled`: in which part of the last ten seconds, 0 to 1, some task waited for memory."""

    total: int
    available: int
    stalled: float = 0.0


class Bound(NamedTuple):
    """Bytes `used` of the `limit` that memory has, of "the container" or "the machine"."""

    used: int
    limit: int
    whose: str


def bound(container: ContainerMemory | None, machine: Machine) -> Bound:
    """What memory is bounded by: the container's limit where that is below the machine's memory."""
    nearest = container and container.bound
    if nearest and nearest.limit < machine.total:
        return Bound(nearest.used, nearest.limit, "the container")
    return Bound(machine.total - machine.available, machine.total, "the machine")


@dataclass(frozen=True)
class Allocated:
    """Bytes that a line allocated while memray was in the process, kept or not."""

    function: str
    file: str
    line: int
    bytes: int


@dataclass(frozen=True)
class Facts:
    """What is known of a process. Bytes, seconds; `growth` is RSS in bytes per second while it was `watched`.

    `faults` are pages a second that the kernel gave while it was watched. What only an agent knows is empty
    without one; `silent` says why one that is there doesn't answer. `threads` says what each of them does.
    `python` is False for other programs, `memray` True where that could attach, `worker` where the parent has
    the same command line. `allocated` says which lines allocated most in `memray_seconds`, when it did.
    """

    pid: int
    command: str
    uptime: float
    status: ProcessStatus
    machine: Machine
    growth: float = 0.0
    watched: float = 0.0
    descriptors_limit: int = 0
    container: ContainerMemory | None = None
    parts: Mapping[str, int] = field(default_factory=dict)
    fragmentation: Mapping[str, float] = field(default_factory=dict)
    trimmable: int = 0
    agent: AgentFacts | None = None
    silent: str = ""
    threads: tuple[str, ...] = ()
    faults: float = 0.0
    python: bool = True
    memray: bool = False
    allocated: tuple[Allocated, ...] = ()
    memray_seconds: int = 0
    worker: bool = False

    @property
    def bound(self) -> Bound:
        """What the process's memory is bounded by."""
        return bound(self.container, self.machine)


@dataclass(frozen=True)
class AgentFacts:
    """What the agent in the process says: `info`, `stats`, `gc` and the biggest sites as the control socket
    answers them, `evidence` the fastest growth first."""

    info: Mapping[str, Any]
    stats: Mapping[str, Any]
    gc: Mapping[str, Any]
    sites: tuple[Mapping[str, Any], ...] = ()
    evidence: tuple[Evidence, ...] = ()
