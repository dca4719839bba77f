"""jemalloc (5.x), when it stands in for malloc."""

from __future__ import annotations

import ctypes
from typing import Any

from heapwatch.allocators.figures import AllocatorMemory, MallocDetail

_ALL_ARENAS = 4096
"""MALLCTL_ARENAS_ALL"""


class Jemalloc:
    """Through mallctl. Its figures are sums that it keeps, brought up to date by a new "epoch"."""

    def __init__(self, library: Any) -> None:
        self._mallctl = library.mallctl
        self._mallctl.restype = ctypes.c_int
        self._mallctl.argtypes = (
            ctypes.c_char_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
        )

    def memory(self) -> AllocatorMemory | None:
        """None where jemalloc was built without statistics."""
        detail = self.detail()
        return None if detail is None else detail.total

    def detail(self) -> MallocDetail | None:
        """`held` is resident; `releasable` are pages that are unused but not given back yet."""
        epoch = ctypes.c_uint64(1)
        self._mallctl(b"epoch", None, None, ctypes.byref(epoch), ctypes.sizeof(epoch))
        resident, allocated = self._read("stats.resident"), self._read("stats.allocated")
        metadata, dirty = self._read("stats.metadata"), self._read(f"stats.arenas.{_ALL_ARENAS}.pdirty")
        page = self._read("arenas.page")
        if resident is None or allocated is None or metadata is None or dirty is None or page is None:
            return None
        used = min(resident, allocated + metadata)
        return MallocDetail(
            allocator="jemalloc",
            arenas=self._read("arenas.narenas", ctypes.c_uint()) or 0,
            held=resident,
            used=used,
            free=resident - used,
            mapped=0,
            releasable=min(resident - used, dirty * page),
            in_mappings=True,
        )

    def trim(self) -> bool:
        """Purge the unused pages of all arenas."""
        return bool(self._mallctl(f"arena.{_ALL_ARENAS}.purge".encode(), None, None, None, 0) == 0)

    def _read(self, name: str, value: Any = None) -> int | None:
        value = ctypes.c_size_t() if value is None else value
        size = ctypes.c_size_t(ctypes.sizeof(value))
        failed = self._mallctl(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
        return None if failed else int(value.value)
