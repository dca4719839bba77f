"""RSS divided into parts that sum to it: what the allocators say, laid over what the kernel maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from heapwatch.allocators import MallocDetail, PymallocDetail, fragmentation
from heapwatch.memory.mappings import Kind, Pages

PARTS: Mapping[str, str] = {
    "pymalloc used": "Python objects up to 512 bytes",
    "pymalloc free": "free between and beside them, held by arenas that are not empty",
    "malloc used": "larger blocks, and what C libraries allocate",
    "malloc free": "free blocks that the C library keeps",
    "malloc held": "blocks and free memory of an allocator that doesn't tell them apart",
    "malloc mapped": "blocks with a mapping of their own (128 KiB and more)",
    "files": "programs and libraries, their data, mapped files",
    "shared memory": "shared mappings without a file on disk",
    "stacks": "stacks of threads",
    "sampler": "Heapwatch's own tables",
    "other": "what the kernel maps itself",
    "unexplained": "memory that libraries map past all allocators",
}


@dataclass(frozen=True)
class Breakdown:
    """Bytes, all of them resident, but `swap`. The values of `parts` sum to `rss`; a part of 0 is left out.

    Without `mappings` the kernel doesn't say what is resident, and `parts` is empty.
    `trimmable` is what `trim` would give back. `fragmentation` is held and unused over held of an
    allocator, 0 to 1.
    """

    rss: int
    swap: int
    parts: Mapping[str, int]
    trimmable: int
    fragmentation: Mapping[str, float]
    mappings: Mapping[Kind, Pages]
    pymalloc: PymallocDetail | None = None
    malloc: MallocDetail | None = None
    unknown: tuple[str, ...] = field(default=())

    @property
    def explained(self) -> float:
        """The share of `rss` that has a name, 0 to 1."""
        return 1.0 - self.parts.get("unexplained", 0) / self.rss if self.rss else 1.0

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, with `explained`."""
        return {**asdict(self), "explained": self.explained}


def divide(
    mappings: Mapping[Kind, Pages],
    pymalloc: PymallocDetail | None = None,
    malloc: MallocDetail | None = None,
    sampler_bytes: int = 0,
) -> Breakdown:
    """RSS in parts. An allocator that is None is counted under "unexplained", and named in `unknown`.

    An allocator holds addresses, the kernel gives pages when they are first written. Where both are known
    for one kind of mapping (malloc's heaps) the difference is free memory that was never written or was
    given back. An allocator in malloc's place keeps its blocks in mappings, mostly asked for with
    MAP_NORESERVE: they count as heaps up to what it holds. Anonymous mappings are shared by pymalloc's arenas
    and malloc's big blocks: arenas are written almost entirely, so they go first, and big blocks get no more
    than what is left.
    """
    rss = {kind: pages.rss for kind, pages in mappings.items()}
    heaps = rss.get("heap", 0) + rss.get("thread heaps", 0)
    tables = min(sampler_bytes, rss.get("unreserved", 0))
    anonymous = rss.get("anonymous", 0)
    parts = {
        "files": rss.get("files", 0),
        "shared memory": rss.get("shared memory", 0),
        "stacks": rss.get("stacks", 0),
        "sampler": tables,
        "other": rss.get("other", 0),
    }
    unexplained = rss.get("unreserved", 0) - tables
    if pymalloc is not None:
        parts["pymalloc used"] = min(pymalloc.used + pymalloc.overhead, anonymous)
        anonymous -= parts["pymalloc used"]
        parts["pymalloc free"] = min(pymalloc.free + pymalloc.unused_pools, anonymous)
        anonymous -= parts["pymalloc free"]
    free = 0
    if malloc is not None and malloc.in_mappings:
        heaps += (reserved := min(malloc.held - heaps, unexplained))
        unexplained -= reserved
        heaps += (plain := min(malloc.held - heaps, anonymous))
        anonymous -= plain
    if malloc is None:
        unexplained += heaps
    elif malloc.used is None:
        parts["malloc held"] = heaps
    else:
        parts["malloc used"] = min(malloc.used, heaps)
        parts["malloc free"] = free = heaps - parts["malloc used"]
        parts["malloc mapped"] = min(malloc.mapped, anonymous)
        anonymous -= parts["malloc mapped"]
    parts["unexplained"] = unexplained + anonymous
    return Breakdown(
        rss=sum(rss.values()),
        swap=sum(pages.swap for pages in mappings.values()),
        parts={name: parts[name] for name in PARTS if parts.get(name)},
        trimmable=0 if malloc is None else max(0, free - (malloc.free - malloc.releasable)),
        fragmentation=_fragmentation(pymalloc, malloc),
        mappings=dict(mappings),
        pymalloc=pymalloc,
        malloc=malloc,
        unknown=tuple(name for name, known in (("pymalloc", pymalloc), ("malloc", malloc)) if known is None),
    )


def _fragmentation(pymalloc: PymallocDetail | None, malloc: MallocDetail | None) -> dict[str, float]:
    totals = {
        "pymalloc": pymalloc.total if pymalloc else None,
        "malloc": malloc.total if malloc else None,
    }
    found = {name: fragmentation(total) for name, total in totals.items()}
    return {name: value for name, value in found.items() if value is not None}
