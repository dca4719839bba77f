"""What the allocators below Python hold and use: pymalloc for small objects, the C library's for the rest."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

from heapwatch.allocators.figures import (
    AllocatorMemory,
    MallocDetail,
    PymallocDetail,
    SizeClass,
    fragmentation,
)
from heapwatch.allocators.glibc import Glibc
from heapwatch.allocators.jemalloc import Jemalloc
from heapwatch.allocators.mimalloc import Mimalloc
from heapwatch.allocators.pymalloc import Pymalloc


class Malloc(Protocol):
    """The allocator behind malloc in this process."""

    def memory(self) -> AllocatorMemory | None:
        """None where the allocator doesn't tell."""
        ...

    def detail(self) -> MallocDetail | None:
        """The same with its parts."""
        ...

    def trim(self) -> bool:
        """Give what is unused back to the kernel; False where the allocator can't be asked to."""
        ...


def find_malloc(library: Any = None) -> Malloc:
    """The allocator that was put in malloc's place (LD_PRELOAD), else the C library's own.

    `library` stands for what is loaded in the process.
    """
    loaded = ctypes.CDLL(None) if library is None else library
    if hasattr(loaded, "mallctl"):
        return Jemalloc(loaded)
    if hasattr(loaded, "mi_process_info"):
        return Mimalloc(loaded)
    return Glibc(loaded)


__all__ = [
    "AllocatorMemory",
    "Malloc",
    "MallocDetail",
    "Pymalloc",
    "PymallocDetail",
    "SizeClass",
    "find_malloc",
    "fragmentation",
]
