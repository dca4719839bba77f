"""Memory, CPU time, threads and descriptors of a process, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024


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
            peak=sizes.get(b"VmHWM", 0),
            virtual=sizes.get(b"VmSize", 0),
            swap=sizes.get(b"VmSwap", 0),
            threads=int(stat[17]),
            cpu_user=int(stat[11]) / self._ticks,
            cpu_system=int(stat[12]) / self._ticks,
            descriptors=sum(1 for _ in (self._folder / "fd").iterdir()),
        )

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


def _sizes(text: bytes) -> dict[bytes, int]:
    """The lines "Name:  123 kB" of a /proc file, in bytes."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if len(words) == 2 and words[1] == b"kB":
            found[name] = int(words[0]) * _KIB
    return found
