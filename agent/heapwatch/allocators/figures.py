"""What an allocator holds from the kernel and what of it is in use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AllocatorMemory:
    """Bytes that an allocator holds from the kernel, and bytes of its blocks in use."""

    held: int
    used: int


@dataclass(frozen=True)
class SizeClass:
    """Pymalloc's blocks of one size: `size` in bytes, `used` and `free` in blocks."""

    size: int
    pools: int
    used: int
    free: int


@dataclass(frozen=True)
class PymallocDetail:
    """Bytes of all arenas: held = used + free + unused_pools + overhead, and the blocks by size.

    `free` lies in pools that blocks in use pin; `unused_pools` in arenas that other pools pin.
    """

    held: int
    used: int
    free: int
    unused_pools: int
    overhead: int
    classes: tuple[SizeClass, ...]

    @property
    def total(self) -> AllocatorMemory:
        """All arenas."""
        return AllocatorMemory(self.held, self.used)


@dataclass(frozen=True)
class MallocDetail:
    """Bytes of malloc's blocks: in use, free, in mappings of single blocks, and what it can give back.

    `used` is None where the allocator doesn't tell. `in_mappings`: they lie in anonymous mappings, not in the
    heaps of glibc. `releasable` is what `trim` would give back if every free page were resident.
    """

    allocator: str
    arenas: int
    held: int
    used: int | None
    free: int
    mapped: int
    releasable: int
    in_mappings: bool = False

    @property
    def total(self) -> AllocatorMemory | None:
        """Arenas and mapped blocks; the latter are held and used alike. None without `used`."""
        return (
            None if self.used is None else AllocatorMemory(self.held + self.mapped, self.used + self.mapped)
        )


def fragmentation(*allocators: AllocatorMemory | None) -> float | None:
    """Held and unused over held, of all allocators that are known; None if none is."""
    known = [memory for memory in allocators if memory is not None]
    held = sum(memory.held for memory in known)
    if held <= 0:
        return None
    return max(0.0, 1.0 - sum(memory.used for memory in known) / held)
