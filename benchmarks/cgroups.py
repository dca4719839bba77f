"""A memory cgroup for a server and its workers, below the one that this process is in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


class NoCgroup(RuntimeError):
    """No memory cgroup can be made here; the text says why."""


class MemoryCgroup:
    """Of version 1 or 2, with a limit in bytes."""

    def __init__(self, folder: Path, v2: bool) -> None:
        self.folder = folder
        self._v2 = v2

    def limit(self, size: int) -> None:
        """What its processes may take in all; no swap besides."""
        self._write("memory.max" if self._v2 else "memory.limit_in_bytes", size)
        swap = "memory.swap.max" if self._v2 else "memory.memsw.limit_in_bytes"
        if (self.folder / swap).exists():
            self._write(swap, 0 if self._v2 else size)

    def command(self, command: list[str]) -> list[str]:
        """`command`, with all that it starts, in it."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command]

    def usage(self) -> int:
        """Bytes charged."""
        return int((self.folder / ("memory.current" if self._v2 else "memory.usage_in_bytes")).read_text())

    def kills(self) -> int:
        """Processes that the kernel has killed for lack of memory, by its own count."""
        text = (self.folder / ("memory.events" if self._v2 else "memory.oom_control")).read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))


@contextmanager
def memory_cgroup(name: str, size: int) -> Iterator[MemoryCgroup]:
    """A new one with this limit, removed afterwards, when its processes have ended.

    NoCgroup where none can be made.
    """
    folder, v2 = _own_folder()
    made = MemoryCgroup(folder / name, v2)
    try:
        made.folder.mkdir()
        made.limit(size)
        made.kills()
    except (OSError, StopIteration) as error:
        _remove(made.folder)
        raise NoCgroup(f"no memory cgroup can be made in {folder}: {error}") from None
    try:
        yield made
    finally:
        _remove(made.folder)


def _own_folder() -> tuple[Path, bool]:
    mounts = [line.split() for line in MOUNTS.read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        v2 = not controllers
        if not v2 and "memory" not in controllers.split(","):
            continue
        for fields in mounts:
            kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
            if kind == ("cgroup2" if v2 else "cgroup") and (v2 or "memory" in options):
                # A container sees its own branch where its mount begins.
                folder = Path(fields[4]) / path.removeprefix(fields[3]).lstrip("/")
                if not v2 or "memory" in (folder / "cgroup.controllers").read_text().split():
                    return folder, v2
    raise NoCgroup("no memory controller is mounted; it takes Linux with cgroups of version 1 or 2")


def _remove(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # a process in it is about to end
            time.sleep(0.1)
        else:
            return
