"""From sampled blocks that live for long to the Python objects that they are.

The garbage collector doesn't know objects without references (strings, arrays, most types of extension
modules), and C code may hold any object without its knowing. So the block itself is looked at: does it begin,
where an object of its kind would, with the address of a known type? Only blocks born well before the last
look are, while no other thread runs Python code: what has survived so long is not freed in that moment.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from heapwatch_wire.sites import is_native

from heapwatch.leaktest.measure import Track
from heapwatch.sampler import Owners, Sampler, objects_within

_WORD = ctypes.sizeof(ctypes.c_void_p)
_GC_HEAD = 2 * _WORD
_HEADS = (0, _GC_HEAD, _GC_HEAD + 2 * _WORD)
"""Bytes before an object: none, the collector's, the collector's and those of managed attributes."""
_CONTAINERS = (dict, list, set)
_LARGEST_COUNT = 1 << 32
LOOKED_AT = 4096
BUDGET = 1.0
"""Seconds of CPU that a look through the heap for owners may take: nobody waits for this process."""


class Survivors:
    """Objects of a stack that were born under a label below `before`; stands in for the sampler in a search
    for holders."""

    def __init__(self, sampler: Sampler, before: int, tracks: Iterable[Track]) -> None:
        self._sampler = sampler
        self._native = {t.stack_id for t in tracks if any(map(is_native, t.frames[:1]))}
        self._before = before
        self._types = {id(kind): kind for kind in _all_types()}

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        """As `Sampler.owners`, all that there are at once."""
        yield [(stack, obj) for stack in stack_ids for obj in self.objects(stack, limit)]

    def objects(self, stack_id: int, limit: int) -> list[object]:
        """At most `limit` objects that are surviving blocks of the stack, or own one as storage."""
        with _alone():
            addresses = self._addresses(stack_id)
            found = [obj for address, size in addresses for obj in self._object(address, size)]
        if not found or len(found) * 2 < len(addresses):
            found += objects_within(stack_id, limit, BUDGET)
        stride = max(1, len(found) // limit)
        return found[::stride][:limit]

    def containers(self, stack_id: int, least: int) -> list[object]:
        """Dicts, lists and sets with at least `least` items that are of the stack, old or new, or own a block
        of it as storage."""
        found = objects_within(stack_id, LOOKED_AT, BUDGET)
        return [obj for obj in found if issubclass(type(obj), _CONTAINERS) and len(cast(Any, obj)) >= least]

    def largest(self, stack_id: int) -> int:
        """Bytes of the largest live block of the stack."""
        return max((s.size for s in self._sampler.live_samples(stack_id, LOOKED_AT)), default=0)

    def share(self, tracks: Sequence[Track]) -> float:
        """The fraction of the tracks' bytes that are objects, or storage of one."""
        total = sum(track.bytes[-1] for track in tracks)
        owned = sum(track.bytes[-1] * self._share(track.stack_id) for track in tracks)
        return owned / total if total else 0.0

    def _share(self, stack_id: int) -> float:
        with _alone():
            addresses = self._addresses(stack_id)
            own = sum(bool(list(self._object(address, size))) for address, size in addresses)
        if own * 2 < len(addresses) and objects_within(stack_id, 1, BUDGET):
            return 1.0
        return own / len(addresses) if addresses else 0.0

    def _addresses(self, stack_id: int) -> list[tuple[int, int]]:
        if stack_id in self._native:
            return []  # Such blocks may be freed at any time, for that takes no GIL.
        samples = self._sampler.live_samples(stack_id, LOOKED_AT)
        return [(s.address, s.size) for s in samples if s.label < self._before]

    def _object(self, address: int, size: int) -> Iterator[object]:
        for head in _HEADS:
            if head + 2 * _WORD > size:
                return
            count = ctypes.c_ssize_t.from_address(address + head).value
            kind = ctypes.c_void_p.from_address(address + head + _WORD).value
            if 0 < count < _LARGEST_COUNT and kind in self._types:
                yield ctypes.cast(address + head, ctypes.py_object).value
                return


def _all_types() -> Iterator[type]:
    """Every type there is."""
    seen: set[int] = set()
    waiting: list[type] = [object]
    while waiting:
        kind = waiting.pop()
        if id(kind) in seen:
            continue
        seen.add(id(kind))
        yield kind
        waiting += type.__subclasses__(cast(Any, kind)) if kind is not type else type.__subclasses__(type)


@contextmanager
def _alone() -> Iterator[None]:
    """No other thread runs Python code, and nothing is collected."""
    interval, collecting = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(1000.0)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        if collecting:
            gc.enable()
