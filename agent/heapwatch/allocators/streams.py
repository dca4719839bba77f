"""Text that C functions print to a FILE*."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any


class MemoryStream:
    """Takes what a C function prints to a FILE*, where the C library can do it."""

    def __init__(self, libc: Any) -> None:
        self._open = getattr(libc, "open_memstream", None)
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
