"""mimalloc (2.x), when it stands in for malloc."""

from __future__ import annotations

import ctypes
from typing import Any

from heapwatch.allocators.figures import AllocatorMemory, MallocDetail

_COMMITTED = 5


class Mimalloc:
    """Release builds count what they commit, not what of it is in use."""

    def __init__(self, library: Any) -> None:
        self._info = library.mi_process_info
        self._info.restype = None
        self._collect = library.mi_collect
        self._collect.argtypes = (ctypes.c_bool,)
        self._collect.restype = None

    def memory(self) -> AllocatorMemory | None:
        """Always None: mimalloc doesn't tell what is in use."""
        return None

    def detail(self) -> MallocDetail | None:
        """What is committed, which may not be resident; `used` is None."""
        figures = [ctypes.c_size_t() for _ in range(8)]
        self._info(*map(ctypes.byref, figures))
        committed = int(figures[_COMMITTED].value)
        return MallocDetail("mimalloc", 0, committed, None, 0, 0, 0, in_mappings=True)

    def trim(self) -> bool:
        """Collect what this thread and ended threads have freed."""
        self._collect(True)
        return True
