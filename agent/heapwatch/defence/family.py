"""What the processes of a service on this machine know of each other: a file of each, and one lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from heapwatch.control.paths import make_folder

FRESH = 5.0
REMEMBERED = 30.0
SPACING = 10.0
_LARGEST = 4096


@dataclass(frozen=True)
class Member:
    """A process that serves. `check` is the address of its agent-check; `weight` in percent; `grown`: by how
    many bytes its RSS has grown."""

    pid: int
    check: str
    draining: bool
    weight: int
    grown: int


class Family:
    """The processes of `service` that have the same runtime folder. OSError when it can't be used."""

    def __init__(self, folder: Path, service: str, now: Callable[[], float] = time.time) -> None:
        make_folder(folder)
        self._folder = folder / "defence"
        make_folder(self._folder)
        self._key = hashlib.sha256(service.encode()).hexdigest()[:16]
        self._now = now
        self._lock: int | None = None

    def publish(self, member: Member) -> None:
        """Let the others know."""
        path = self._path(member.pid)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(member)))
        beside.replace(path)

    def withdraw(self, pid: int) -> None:
        """Process `pid` doesn't serve any more."""
        self._path(pid).unlink(missing_ok=True)

    def members(self) -> list[Member]:
        """Those who serve now. Files of processes that ended long ago are taken away."""
        return [member for member, age in self._read() if age < FRESH and _lives(member.pid)]

    def bereft(self, check: str) -> bool:
        """Whether somebody with this agent-check drained and ended, and may not have a successor yet."""
        return any(
            member.check == check and member.draining and not _lives(member.pid) for member, _ in self._read()
        )

    def take_leave(self, urgent: bool = False) -> bool:
        """Ask for the one leave there is; it is given back when this process ends, or by `stay`.

        Not granted while another process has it, nor SPACING seconds after, unless `urgent`.
        """
        descriptor = os.open(self._folder / f"{self._key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        state = os.fstat(descriptor)
        if state.st_size and self._now() - state.st_mtime < SPACING and not urgent:
            os.close(descriptor)
            return False
        self._lock = descriptor
        self.hold_leave()
        return True

    def hold_leave(self) -> None:
        """This process still drains: for those who look how long ago the last one did."""
        if self._lock is not None:
            with contextlib.suppress(OSError):  # a full disk must not keep it from leaving
                os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def stay(self) -> None:
        """Give the leave back."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _path(self, pid: int) -> Path:
        return self._folder / f"{self._key}-{pid}.json"

    def _read(self) -> Iterator[tuple[Member, float]]:
        """Each process, and how many seconds ago it was heard of."""
        for path in self._folder.glob(f"{self._key}-*.json"):
            try:
                with path.open() as file:
                    age = self._now() - os.fstat(file.fileno()).st_mtime
                    member = Member(**json.loads(file.read(_LARGEST)))
            except (OSError, ValueError, TypeError):
                continue
            if age > REMEMBERED and not _lives(member.pid):
                with contextlib.suppress(OSError):
                    path.unlink()
            else:
                yield member, age


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
