"""Memory of the container that the process runs in, from its cgroup, version 1 or 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from heapwatch.stalls import Stalls, read_stalls

# Version 1 says "no limit" with the largest number of whole pages.
_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class ContainerMemory:
    """Bytes; `limit` and `peak` are None where there is none or unknown; `events` counted since creation.

    `high` is where the kernel begins to slow its tasks down (version 2), None where it doesn't. `stalls` are
    those of the cgroup's own tasks; None with version 1, where the kernel doesn't count them.
    """

    usage: int
    working_set: int
    limit: int | None = None
    peak: int | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    stalls: Stalls | None = None
    high: int | None = None


class CgroupReader:
    """Finds the memory cgroup of a process once, and reads it each time.

    `proc` is a folder like /proc and `root` is put before mount points, so that tests bring their own.
    """

    def __init__(self, proc: Path = Path("/proc"), root: Path = Path("/"), process: str = "self") -> None:
        self._v2 = False
        self._folder: Path | None = None
        self._mount = root
        try:
            membership = (proc / process / "cgroup").read_text()
            mounts = (proc / process / "mountinfo").read_text()
        except OSError:
            return
        self._find(membership, mounts, root)

    def memory(self) -> ContainerMemory | None:
        """What the cgroup says now; None outside of a container's cgroup."""
        if self._folder is None:
            return None
        try:
            return self._read_v2(self._folder) if self._v2 else self._read_v1(self._folder)
        except (OSError, ValueError):
            return None

    def _find(self, membership: str, mounts: str, root: Path) -> None:
        paths: dict[str, str] = {}
        for fields in (line.split(":", 2) for line in membership.splitlines()):
            if len(fields) == 3:
                paths.update(dict.fromkeys(fields[1].split(","), fields[2]))
        # On hybrid systems both are mounted; the memory controller is in one of them only.
        self._v2 = "memory" not in paths
        branch = paths.get("" if self._v2 else "memory")
        mount = _mount_of(mounts, "cgroup2" if self._v2 else "memory")
        if branch is None or mount is None:
            return
        mount_root, mount_point = mount
        # A container may see the host's path although only its own branch is mounted.
        inside = branch.removeprefix(mount_root) if mount_root != "/" else branch
        self._mount = root / mount_point.lstrip("/")
        self._folder = self._mount / inside.lstrip("/")
        if not self._folder.is_dir():
            self._folder = self._mount

    def _read_v2(self, folder: Path) -> ContainerMemory:
        usage = int((folder / "memory.current").read_text())
        return ContainerMemory(
            usage=usage,
            working_set=max(0, usage - _table(folder / "memory.stat").get("inactive_file", 0)),
            limit=self._smallest_limit(folder, "memory.max"),
            peak=_optional(folder / "memory.peak"),
            events=_table(folder / "memory.events"),
            stalls=read_stalls(folder / "memory.pressure"),
            high=self._smallest_limit(folder, "memory.high"),
        )

    def _read_v1(self, folder: Path) -> ContainerMemory:
        usage = int((folder / "memory.usage_in_bytes").read_text())
        events = {"max": _optional(folder / "memory.failcnt") or 0}
        killed = _table(folder / "memory.oom_control").get("oom_kill")
        if killed is not None:
            events["oom_kill"] = killed
        return ContainerMemory(
            usage=usage,
            working_set=max(0, usage - _table(folder / "memory.stat").get("total_inactive_file", 0)),
            limit=self._smallest_limit(folder, "memory.limit_in_bytes"),
            peak=_optional(folder / "memory.max_usage_in_bytes"),
            events=events,
        )

    def _smallest_limit(self, folder: Path, name: str) -> int | None:
        """The limit of the cgroup or of one above it: whichever bites first."""
        limits = []
        while True:
            limits.append(_optional(folder / name))
            if folder in (self._mount, folder.parent):
                break
            folder = folder.parent
        return min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)


def _mount_of(mounts: str, kind: str) -> tuple[str, str] | None:
    """(root, mount point) of the cgroup2 mount, or of the version 1 mount with the controller `kind`."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        if rest[0] == kind or (rest[0] == "cgroup" and kind in rest[2].split(",")):
            return fields[3], fields[4]
    return None


def _optional(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or the word "max"
        return None


def _table(file: Path) -> dict[str, int]:
    """Lines of "name number"."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2}
