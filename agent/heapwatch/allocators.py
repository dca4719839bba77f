"""What the allocators below Python hold and use: pymalloc for small objects, the C library for the rest."""

from __future__ import annotations

import ctypes
import operator
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

_PAGE = resource.getpagesize()


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
    """Bytes of all arenas: in use, free, in mappings of single blocks, and free in whole pages.

    `releasable` is what malloc_trim would give back if every free page were resident.
    """

    arenas: int
    held: int
    used: int
    free: int
    mapped: int
    releasable: int

    @property
    def total(self) -> AllocatorMemory:
        """Arenas and mapped blocks; the latter are held and used alike."""
        return AllocatorMemory(self.held + self.mapped, self.used + self.mapped)


class _Mallinfo2(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


class _MemoryStream:
    """Takes what a C function prints to a FILE*; `available` where the C library can do it."""

    def __init__(self, libc: Any) -> None:
        self._open = getattr(libc, "open_memstream", None)
        self.available = self._open is not None
        if self._open is None:
            return
        self._open.restype = ctypes.c_void_p
        self._open.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t))
        self._close = libc.fclose
        self._close.argtypes = (ctypes.c_void_p,)
        self._free = libc.free
        self._free.argtypes = (ctypes.c_void_p,)

    def printed(self, print_to: Callable[[int], object]) -> bytes:
        """What `print_to(stream)` prints; b"" where that isn't possible."""
        if self._open is None:
            return b""
        text, length = ctypes.c_void_p(), ctypes.c_size_t()
        stream = self._open(ctypes.byref(text), ctypes.byref(length))
        if not stream:
            return b""
        print_to(stream)
        self._close(stream)
        try:
            return ctypes.string_at(text.value or 0, length.value)
        finally:
            self._free(text)


class Malloc:
    """glibc's malloc through mallinfo2 (2.33 and later), which walks the free lists of every arena."""

    _BIN = re.compile(rb'<(?:size|unsorted) from="\d+" to="\d+" total="(\d+)" count="(\d+)"/>')
    _SUM = re.compile(rb'<(total|system) type="(\w+)"(?: count="\d+")? size="(\d+)"/>')

    def __init__(self, library: Any = None) -> None:
        libc = ctypes.CDLL(None) if library is None else library
        self._stream = _MemoryStream(libc)
        self._malloc_info = getattr(libc, "malloc_info", None)
        if self._malloc_info is not None:
            self._malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
        self._mallinfo2 = getattr(libc, "mallinfo2", None)
        if self._mallinfo2 is not None:
            self._mallinfo2.restype = _Mallinfo2
            self._mallinfo2.argtypes = ()

    def memory(self) -> AllocatorMemory | None:
        """None where the C library isn't glibc 2.33 or later."""
        if self._mallinfo2 is None:
            return None
        info = self._mallinfo2()
        # Blocks that got their own mapping (hblkhd) are held and used alike.
        return AllocatorMemory(held=info.arena + info.hblkhd, used=info.uordblks + info.hblkhd)

    def detail(self) -> MallocDetail | None:
        """The same with its parts, from malloc_info, about twice as dear; None where there is none."""
        printed = b"" if self._malloc_info is None else self._stream.printed(self._print_bins)
        head, separator, whole = printed.rpartition(b"</heap>")
        if not separator:
            return None
        sums = {(tag, kind): int(size) for tag, kind, size in self._SUM.findall(whole)}
        held = sums.get((b"system", b"current"), 0)
        free = sums.get((b"total", b"fast"), 0) + sums.get((b"total", b"rest"), 0)
        return MallocDetail(
            arenas=head.count(b"<heap "),
            held=held,
            used=held - free,
            free=free,
            mapped=sums.get((b"total", b"mmap"), 0),
            releasable=min(free, self._whole_pages(head) + self._top(head)),
        )

    def _whole_pages(self, printed: bytes) -> int:
        # A free block of s bytes at a random place holds s - (a page - 1) bytes of whole pages on average.
        bins = self._BIN.findall(printed)
        return sum(max(0, int(total) - int(count) * (_PAGE - 1)) for total, count in bins)

    def _top(self, printed: bytes) -> int:
        """The free end of the main arena, which is in no bin; the ends of others aren't trimmed."""
        main = printed.partition(b"</heap>")[0]
        sums = {(tag, kind): int(size) for tag, kind, size in self._SUM.findall(main)}
        binned = sum(int(total) for total, _ in self._BIN.findall(main))
        return max(0, sums.get((b"total", b"rest"), 0) - binned)

    def _print_bins(self, stream: int) -> None:
        if self._malloc_info is not None:
            self._malloc_info(0, stream)


class _Hooks(ctypes.Structure):
    """PyMemAllocatorEx."""

    _fields_ = [  # ctypes wants a plain list
        (name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")
    ]


_OBJECTS = 2
"""PYMEM_DOMAIN_OBJ"""


class Pymalloc:
    """CPython's small-object allocator, through the function behind sys._debugmallocstats().

    The Python function prints to the process's stderr; the C function takes a stream, so it gets one in
    memory. It visits each pool: 15 µs for a small process, 2 ms for 800 MB of small objects (3.11 to 3.13).

    The function prints nothing while hooks, such as the sampler's, lie over pymalloc. So make this object
    before the sampler starts: what it finds then is put in place for the time of the call.
    """

    _HELD = re.compile(rb"^\d+ arenas \* \d+ bytes/arena\s*=\s*([\d,]+)$", re.MULTILINE)
    _USED = re.compile(rb"^# bytes in allocated blocks\s*=\s*([\d,]+)$", re.MULTILINE)

    _CLASS = re.compile(rb"^ +\d+ +(\d+) +(\d+) +(\d+) +(\d+)$", re.MULTILINE)
    _FREE = re.compile(rb"^# bytes in available blocks\s*=\s*([\d,]+)$", re.MULTILINE)
    _POOLS = re.compile(rb"^\d+ unused pools \* \d+ bytes\s*=\s*([\d,]+)$", re.MULTILINE)

    def __init__(self) -> None:
        self._print_stats = getattr(ctypes.pythonapi, "_PyObject_DebugMallocStats", None)
        if self._print_stats is not None:
            self._print_stats.argtypes = (ctypes.c_void_p,)
        self._stream = _MemoryStream(ctypes.CDLL(None))
        self._own = _Hooks()
        ctypes.pythonapi.PyMem_GetAllocator(_OBJECTS, ctypes.byref(self._own))

    def memory(self) -> AllocatorMemory | None:
        """None where Python doesn't use pymalloc, or hides its statistics."""
        text = self._statistics()
        held, used = self._HELD.search(text), self._USED.search(text)
        if held is None or used is None:
            return None
        return AllocatorMemory(held=_number(held), used=_number(used))

    def detail(self) -> PymallocDetail | None:
        """The same with its parts, from the same visit; None where `memory` is None."""
        text = self._statistics()
        found = [pattern.search(text) for pattern in (self._HELD, self._USED, self._FREE, self._POOLS)]
        sizes = [_number(match) for match in found if match is not None]
        if len(sizes) != len(found):
            return None
        held, used, free, pools = sizes
        return PymallocDetail(
            held=held,
            used=used,
            free=free,
            unused_pools=pools,
            overhead=held - used - free - pools,
            classes=tuple(SizeClass(*map(int, row)) for row in self._CLASS.findall(text)),
        )

    def _statistics(self) -> bytes:
        print_stats = self._print_stats
        if print_stats is None:
            return b""
        return self._stream.printed(lambda stream: self._below_hooks(partial(print_stats, stream)))

    def _below_hooks(self, call: Callable[[], object]) -> None:
        present = _Hooks()
        ctypes.pythonapi.PyMem_GetAllocator(_OBJECTS, ctypes.byref(present))
        put = ctypes.pythonapi.PyMem_SetAllocator
        # Objects are allocated under the GIL. These calls follow each other in C, without a bytecode between
        # them at which another thread could take it, so nobody misses the hooks.
        calls: tuple[Callable[[], object], ...] = (
            partial(put, _OBJECTS, ctypes.byref(self._own)),
            call,
            partial(put, _OBJECTS, ctypes.byref(present)),
        )
        each: Callable[[Callable[[], object]], object] = operator.call
        tuple(map(each, calls))


def _number(found: re.Match[bytes]) -> int:
    return int(found.group(1).replace(b",", b""))


def fragmentation(*allocators: AllocatorMemory | None) -> float | None:
    """Held and unused over held, of all allocators that are known; None if none is."""
    known = [memory for memory in allocators if memory is not None]
    held = sum(memory.held for memory in known)
    if held <= 0:
        return None
    return max(0.0, 1.0 - sum(memory.used for memory in known) / held)
