"""glibc's malloc."""

from __future__ import annotations

import ctypes
import re
import resource
from typing import Any

from heapwatch.allocators.figures import AllocatorMemory, MallocDetail
from heapwatch.allocators.streams import MemoryStream

_PAGE = resource.getpagesize()


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


class Glibc:
    """glibc's malloc through mallinfo2 (2.33 and later), which walks the free lists of every arena."""

    _BIN = re.compile(rb'<(?:size|unsorted) from="\d+" to="\d+" total="(\d+)" count="(\d+)"/>')
    _SUM = re.compile(rb'<(total|system) type="(\w+)"(?: count="\d+")? size="(\d+)"/>')

    def __init__(self, libc: Any) -> None:
        self._stream = MemoryStream(libc)
        self._malloc_info = getattr(libc, "malloc_info", None)
        if self._malloc_info is not None:
            self._malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
        self._mallinfo2 = getattr(libc, "mallinfo2", None)
        if self._mallinfo2 is not None:
            self._mallinfo2.restype = _Mallinfo2
            self._mallinfo2.argtypes = ()
        self._malloc_trim = getattr(libc, "malloc_trim", None)
        if self._malloc_trim is not None:
            self._malloc_trim.argtypes = (ctypes.c_size_t,)

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
            allocator="glibc",
            arenas=head.count(b"<heap "),
            held=held,
            used=held - free,
            free=free,
            mapped=sums.get((b"total", b"mmap"), 0),
            releasable=min(free, self._whole_pages(head) + self._top(head)),
        )

    def trim(self) -> bool:
        """malloc_trim: the free whole pages of every arena, and the free end of the main one."""
        if self._malloc_trim is None:
            return False
        self._malloc_trim(0)
        return True

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
