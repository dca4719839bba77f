"""CPython's allocator for small objects."""

from __future__ import annotations

import ctypes
import operator
import re
from collections.abc import Callable
from functools import partial

from heapwatch.allocators.figures import AllocatorMemory, PymallocDetail, SizeClass
from heapwatch.allocators.streams import MemoryStream


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
        self._stream = MemoryStream(ctypes.CDLL(None))
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
