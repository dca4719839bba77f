"""Memory, CPU time, threads and descriptors of a process, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_KIB = 1024
_PF_FORKNOEXEC = 0x40  # forked, but executes no program of its own (linux/sched.h)


@dataclass(frozen=True)
class ProcessStatus:
    """A cheap reading (tens of microseconds). Bytes, but `cpu_user`, `cpu_system` in seconds."""

    rss: int
    peak: int
    virtual: int
    swap: int
    threads: int
    cpu_user: float
    cpu_system: float
    descriptors: int


class Resident(NamedTuple):
    """Resident bytes now, the kernel's high-water mark, and the highest mark whatever was reset."""

    rss: int
    peak: int
    highest: int


_marks_before_reset: dict[tuple[Path, int], int] = {}
"""The highest mark of a process when this process reset it, as the kernel forgets it then."""


class ProcessReader:
    """Reads one process below `proc` (a folder like /proc, so that tests bring their own)."""

    def __init__(self, proc: Path = Path("/proc"), process: str = "self") -> None:
        self._proc = proc
        self._folder = proc / process
        self._ticks = os.sysconf("SC_CLK_TCK")

    def status(self) -> ProcessStatus:
        """Raises OSError when the process is gone."""
        sizes = _sizes((self._folder / "status").read_bytes())
        stat = self._stat()
        return ProcessStatus(
            rss=sizes.get(b"VmRSS", 0),
            peak=self._highest(sizes.get(b"VmHWM", 0)),
            virtual=sizes.get(b"VmSize", 0),
            swap=sizes.get(b"VmSwap", 0),
            threads=int(stat[17]),
            cpu_user=int(stat[11]) / self._ticks,
            cpu_system=int(stat[12]) / self._ticks,
            descriptors=sum(1 for _ in (self._folder / "fd").iterdir()),
        )

    def resident(self) -> Resident:
        """Only RSS and its peak, some 20 µs. Raises OSError when the process is gone."""
        text = (self._folder / "status").read_bytes()
        peak = _size(text, b"\nVmHWM:")
        return Resident(_size(text, b"\nVmRSS:"), peak, self._highest(peak))

    def shared(self) -> int:
        """Written pages that another process maps too, such as a parent's heap after a fork; bytes.

        The kernel walks all page tables: some milliseconds for each 100 MB. 0 where it doesn't tell.
        """
        try:
            return _size((self._folder / "smaps_rollup").read_bytes(), b"\nShared_Dirty:")
        except OSError:
            return 0

    def reset_peak(self, now: Resident) -> bool:
        """Set the kernel's high-water mark back, right after `now` was read; False where that isn't allowed.

        `status().peak` stays the highest ever.
        """
        try:
            (self._folder / "clear_refs").write_text("5")
        except OSError:
            return False
        _marks_before_reset[self._folder, os.getpid()] = now.highest
        return True

    def _highest(self, peak: int) -> int:
        # A forked child has a mark of its own, hence the pid.
        return max(peak, _marks_before_reset.get((self._folder, os.getpid()), 0))

    def forked_children(self) -> int:
        """How many children this process forked that live and execute no other program.

        0 where the kernel doesn't list children (it needs CONFIG_PROC_CHILDREN).
        """
        listed = [path.read_bytes() for path in self._folder.glob("task/*/children")]
        return sum(self._is_fork(child.decode()) for text in listed for child in text.split())

    def _is_fork(self, pid: str) -> bool:
        try:
            stat = ProcessReader(self._proc, pid)._stat()
        except OSError:
            return False
        return stat[0] != b"Z" and bool(int(stat[6]) & _PF_FORKNOEXEC)

    def parent(self) -> int:
        """The pid of the parent, 0 where that is out of sight, as of a container's first process.

        Raises OSError when the process is gone.
        """
        return int(self._stat()[1])

    def faults(self) -> int:
        """Page faults since the process started. Raises OSError when it is gone."""
        stat = self._stat()
        return int(stat[7]) + int(stat[9])

    def start_time(self) -> float:
        """When the process started, in Unix seconds."""
        boot = next(
            int(line.split()[1])
            for line in (self._proc / "stat").read_bytes().splitlines()
            if line.startswith(b"btime ")
        )
        return boot + int(self._stat()[19]) / self._ticks

    def _stat(self) -> list[bytes]:
        # The name in parentheses may hold spaces and parentheses; field 3 (state) is index 0 here.
        return (self._folder / "stat").read_bytes().rpartition(b")")[2].split()


def _size(text: bytes, name: bytes) -> int:
    """The line "name 123 kB" in bytes, 0 when it isn't there."""
    _, found, rest = text.partition(name)
    return int(rest.partition(b" kB")[0]) * _KIB if found else 0


def _sizes(text: bytes) -> dict[bytes, int]:
    """The lines "Name:  123 kB" of a /proc file, in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if len(words) == 2 and words[1] == b"kB":
            found[name] = int(words[0]) * _KIB
    return found
