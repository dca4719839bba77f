"""Memory of the container that the process runs in, from its cgroup, version 1 or 2."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from heapwatch.stalls import Stalls, read_stalls

# Version 1 says "no limit" with the largest number of whole pages.
_NO_LIMIT = 1 << 62
_OF_LIMITS = {"high", "max", "oom"}


class _Files(NamedTuple):
    """Names of the files of a version; `inactive` is a line of memory.stat."""

    usage: str
    limits: tuple[str, ...]
    peak: str
    events: str
    pressure: str
    inactive: str


_V1 = _Files(
    "memory.usage_in_bytes",
    ("memory.limit_in_bytes",),
    "memory.max_usage_in_bytes",
    "memory.oom_control",
    "",
    "total_inactive_file",
)
_V2 = _Files(
    "memory.current",
    ("memory.max", "memory.high"),
    "memory.peak",
    "memory.events",
    "memory.pressure",
    "inactive_file",
)


class Bound(NamedTuple):
    """Bytes `used`, as the kernel judges them, of a `limit`."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """Used over limit."""
        return self.used / self.limit


@dataclass(frozen=True)
class ContainerMemory:
    """Bytes; `limit` and `peak` are None where there is none or unknown; `events` counted since creation.

    `limit` is the smallest of the cgroup and those above it, whether the kernel kills beyond it or slows
    tasks down (`memory.high`: one that kills may then never be met). `above` is the limit of a group above
    that is nearest to being full: its other members take their part. `stalls` are those of the cgroup's own
    tasks; None with version 1, where the kernel doesn't count them.
    """

    usage: int
    working_set: int
    limit: int | None = None
    peak: int | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    stalls: Stalls | None = None
    above: Bound | None = None

    @property
    def bound(self) -> Bound | None:
        """The limit that binds the processes: the nearest to being full. None where there is none."""
        own = Bound(self.working_set, self.limit) if self.limit else None
        return max(filter(None, (own, self.above)), key=lambda bound: bound.share, default=None)


class CgroupReader:
    """Finds the memory cgroup of a process once, and reads it each time.

    `proc` is a folder like /proc and `root` is put before mount points, so that tests bring their own.
    """

    def __init__(self, proc: Path = Path("/proc"), root: Path = Path("/"), process: str = "self") -> None:
        self._files = _V1
        self._groups: list[Path] = []
        with contextlib.suppress(OSError, ValueError):
            membership = os.fsdecode((proc / process / "cgroup").read_bytes())
            # Our own mounts: both they and the process's path are told from our own root of cgroups.
            mounts = os.fsdecode((proc / "self" / "mountinfo").read_bytes())
            self._find(membership, mounts, root)

    def memory(self) -> ContainerMemory | None:
        """What the cgroup says now; None outside of a container's cgroup, or where that isn't in sight."""
        try:
            return self._read(self._groups[0]) if self._groups else None
        except (OSError, ValueError):
            return None

    def _find(self, membership: str, mounts: str, root: Path) -> None:
        """The groups from the process's own to that of the mount."""
        paths: dict[str, str] = {}
        for fields in (line.split(":", 2) for line in membership.splitlines()):
            if len(fields) == 3:
                paths.update(dict.fromkeys(fields[1].split(","), fields[2]))
        # On hybrid systems both are mounted; the memory controller is in one of them only.
        v2 = "memory" not in paths
        self._files = _V2 if v2 else _V1
        path = paths.get("" if v2 else "memory")
        if path is None:
            return
        for mount_root, mount_point in _mounts(mounts, "cgroup2" if v2 else "memory"):
            inside = _below(PurePosixPath(mount_root), PurePosixPath(path))
            if inside is not None:
                mount = root / mount_point.lstrip("/")
                group = mount / inside
                # Of a path that isn't shown in there, the mount is the nearest group above.
                self._groups = _up(group, mount) if group.is_dir() else [mount]
                break
        # A group without the controller is counted in the nearest above that has it.
        while self._groups and not (self._groups[0] / self._files.usage).exists():
            del self._groups[0]

    def _read(self, group: Path) -> ContainerMemory:
        names = self._files
        usage = int((group / names.usage).read_text())
        limits = {each: limit for each in self._groups if (limit := self._limit(each)) is not None}
        above = [bound for each in self._groups[1:] if (bound := self._bound(each, limits.get(each)))]
        return ContainerMemory(
            usage=usage,
            working_set=self._working_set(group, usage),
            limit=min(limits.values(), default=None),
            peak=_optional(group / names.peak),
            events=self._events(group),
            stalls=read_stalls(group / names.pressure) if names.pressure else None,
            above=max(above, key=lambda bound: bound.share, default=None),
        )

    def _limit(self, group: Path) -> int | None:
        found = (_optional(group / name) for name in self._files.limits)
        # A limit of nothing can't be met in part; whoever is in such a group is about to end.
        return min((limit for limit in found if limit and limit < _NO_LIMIT), default=None)

    def _bound(self, group: Path, limit: int | None) -> Bound | None:
        usage = _optional(group / self._files.usage) if limit else None
        return Bound(self._working_set(group, usage), limit) if limit and usage is not None else None

    def _working_set(self, group: Path, usage: int) -> int:
        return max(0, usage - _table(group / "memory.stat").get(self._files.inactive, 0))

    def _events(self, group: Path) -> dict[str, int]:
        """Those of the group, and how often limits above it were met, of which it isn't told itself."""
        events = _table(group / self._files.events)
        if self._files is _V1:
            met = sum(_optional(each / "memory.failcnt") or 0 for each in self._groups)
            killed = {name: count for name, count in events.items() if name == "oom_kill"}
            return {"max": met, **killed}
        for above in self._groups[1:]:
            local = _table(above / "memory.events.local")
            events |= {name: events.get(name, 0) + local[name] for name in _OF_LIMITS & local.keys()}
        return events


def _up(group: Path, mount: Path) -> list[Path]:
    """`group` and those above it, up to `mount`."""
    return [each for each in (group, *group.parents) if each == mount or mount in each.parents]


def _below(mounted: PurePosixPath, path: PurePosixPath) -> PurePosixPath | None:
    """Where below the mount of `mounted` the group `path` is; None where it isn't.

    Both begin at our own root of cgroups; what is outside of that begins with "/..", whose names aren't told.
    """
    if not path.is_relative_to(mounted):
        return None
    inside = path.relative_to(mounted)
    return None if ".." in inside.parts else inside


def _mounts(mounts: str, kind: str) -> Iterator[tuple[str, str]]:
    """(root, mount point) of each cgroup2 mount, or of each version 1 mount with the controller `kind`."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        if rest[0] == kind or (rest[0] == "cgroup" and kind in rest[2].split(",")):
            yield fields[3], fields[4]


def _optional(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or the word "max"
        return None


def _table(file: Path) -> dict[str, int]:
    """Lines of "name number"; those of another form are skipped."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, ValueError):
        return {}
    return {
        words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2 and _is_count(words[1])
    }


def _is_count(word: str) -> bool:
    return word.isascii() and word.isdecimal()
