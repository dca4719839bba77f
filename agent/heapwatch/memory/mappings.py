"""The mappings of a process by kind, from one pass over /proc/PID/smaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from _typeshed import SupportsRead

Kind = Literal["heap", "thread heaps", "anonymous", "unreserved", "stacks", "files", "shared memory", "other"]

HEAP_KINDS: tuple[Kind, ...] = ("heap", "thread heaps", "anonymous")
"""Where objects live: what a forked process shares with its parent until either writes."""

_KIB = 1024
_ENTRY = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)\n((?:[A-Z][A-Za-z_]*:.*\n?)+)", re.MULTILINE
)
_SIZE = re.compile(
    rb"^(Rss|Pss|Shared_Clean|Shared_Dirty|Private_Clean|Private_Dirty|Swap): +(\d+)", re.MULTILINE
)
_FLAGS = re.compile(rb"^VmFlags:(.*)", re.MULTILINE)
_LAST_LINE = b"\nVmFlags:"
_PIECE = 16 << 10
_SHARED_MEMORY = (b"/dev/shm/", b"/memfd:", b"/SYSV", b"/dev/zero")
_GUARD_LIMIT = 1 << 20
# glibc's HEAP_MAX_SIZE on 64 bits: each heap of a thread arena begins at a multiple of it.
_HEAP_ALIGNMENT = 64 << 20


@dataclass(frozen=True)
class Pages:
    """Resident pages in bytes; `swap` is beside them."""

    rss: int = 0
    pss: int = 0
    shared_clean: int = 0
    shared_dirty: int = 0
    private_clean: int = 0
    private_dirty: int = 0
    swap: int = 0

    @property
    def shared(self) -> int:
        """Pages that another process maps too."""
        return self.shared_clean + self.shared_dirty

    @property
    def private(self) -> int:
        """Pages of this process alone."""
        return self.private_clean + self.private_dirty

    def __add__(self, other: Pages) -> Pages:
        return Pages(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Mapping(NamedTuple):
    """One line of /proc/PID/maps with its pages; `flags` are the two-letter VmFlags."""

    start: int
    end: int
    permissions: str
    name: str
    flags: frozenset[str]
    pages: Pages


def read_mappings(proc: Path = Path("/proc"), process: str = "self") -> dict[Kind, Pages]:
    """Pages of each kind of mapping that there is. Raises OSError without permission or process.

    The kernel walks all page tables, as for smaps_rollup; reading the text adds some 25 µs per mapping.
    """
    totals: dict[Kind, Pages] = {}
    below: Mapping | None = None
    with (proc / process / "smaps").open("rb", buffering=0) as file:
        for mapping in parse(file):
            kind = kind_of(mapping, below)
            totals[kind] = totals.get(kind, Pages()) + mapping.pages
            below = mapping
    return totals


def parse(file: SupportsRead[bytes]) -> Iterator[Mapping]:
    """The mappings of a smaps file, lowest address first."""
    for start, end, permissions, name, details in chain.from_iterable(map(_ENTRY.findall, _pieces(file))):
        sizes = {key: int(value) * _KIB for key, value in _SIZE.findall(details)}
        flags = _FLAGS.search(details)
        yield Mapping(
            int(start, 16),
            int(end, 16),
            permissions.decode(),
            name.decode(errors="replace"),
            frozenset(flags[1].decode().split()) if flags else frozenset(),
            Pages(
                sizes.get(b"Rss", 0),
                sizes.get(b"Pss", 0),
                sizes.get(b"Shared_Clean", 0),
                sizes.get(b"Shared_Dirty", 0),
                sizes.get(b"Private_Clean", 0),
                sizes.get(b"Private_Dirty", 0),
                sizes.get(b"Swap", 0),
            ),
        )


def _pieces(file: SupportsRead[bytes]) -> Iterator[bytes]:
    """The text in pieces of whole entries: all at once it would leave a hole in the host's heap."""
    rest = b""
    while piece := file.read(_PIECE):
        text = rest + piece
        last = text.rfind(_LAST_LINE)
        end = text.find(b"\n", last + 1) + 1 if last >= 0 else 0
        yield text[:end]
        rest = text[end:]
    yield rest


def kind_of(mapping: Mapping, below: Mapping | None) -> Kind:
    """The kind of `mapping`, whose lower neighbour is `below`.

    "heap" is malloc's main arena, "thread heaps" are its others; "unreserved" memory was asked for with
    MAP_NORESERVE, as the sampler's tables are; "anonymous" is all other memory without a name: pymalloc's
    arenas, malloc's big blocks, and what libraries map themselves.
    """
    name = mapping.name.encode()
    if name == b"[heap]":
        return "heap"
    if name.startswith(b"[stack") or (not name and _is_thread_stack(mapping, below)):
        return "stacks"
    if name.startswith(_SHARED_MEMORY):
        return "shared memory"
    if name.startswith(b"/"):
        return "files"
    if name and not name.startswith(b"[anon"):
        return "other"
    if "nr" not in mapping.flags:
        return "anonymous"
    return "unreserved" if mapping.start % _HEAP_ALIGNMENT else "thread heaps"


def _is_thread_stack(mapping: Mapping, below: Mapping | None) -> bool:
    """Whether a guard lies at the low end: a mapping of its own, or a marked range (glibc 2.42)."""
    if "w" not in mapping.permissions:
        return False
    if "gu" in mapping.flags:
        return True
    return (
        below is not None
        and below.end == mapping.start
        and below.permissions == "---p"
        and not below.name
        and below.end - below.start <= _GUARD_LIMIT
        and "nr" not in mapping.flags
    )
