"""From the sampler's rows to pprof: allocations as deltas between deliveries, live memory as it is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from heapwatch_wire import pprof
from heapwatch_wire.sites import Frame

from heapwatch.sampler import Row, Sampler

TRUNCATED = Frame("(truncated)", "", 0)

_Key: TypeAlias = tuple[int, int, str]
_Allocated: TypeAlias = dict[_Key, tuple[int, int]]


class Taken(NamedTuple):
    """A profile for delivery, gzipped pprof, and the allocations that it alone carries."""

    data: bytes
    allocated: _Allocated


class Profiles:
    """Makes profiles of one sampler. Times are Unix seconds."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._delivered: _Allocated = {}
        self._since = time.time()

    def snapshot(self, now: float) -> bytes:
        """The state now with all allocations since the sampler's start, as gzipped pprof; changes nothing."""
        samples = [self._sample(row, *_allocated(row)) for row in self._sampler.export()]
        return pprof.encode(self._profile(samples, now, since=now))

    def take(self, now: float) -> Taken:
        """A profile whose allocations are those since the one before; `give_back` it if it gets lost."""
        rows = self._sampler.export()
        new: _Allocated = {}
        delivered: _Allocated = {}
        samples = []
        for row in rows:
            key, total = _key(row), _allocated(row)
            delivered[key] = total
            objects, size = _minus(total, self._delivered.get(key, (0, 0)))
            if objects or size:
                new[key] = (objects, size)
            if objects or size or row.inuse_bytes:
                samples.append(self._sample(row, objects, size))
        data = pprof.encode(self._profile(samples, now, since=self._since))
        self._delivered, self._since = delivered, now
        return Taken(data, new)

    def give_back(self, taken: Taken) -> None:
        """Let the next profile carry the allocations of `taken`, which was not delivered."""
        for key, (objects, size) in taken.allocated.items():
            if key in self._delivered:
                before = self._delivered[key]
                self._delivered[key] = (before[0] - objects, before[1] - size)

    def _profile(self, samples: list[pprof.Sample], now: float, since: float) -> pprof.Profile:
        return pprof.Profile(
            samples=samples,
            period=int(self._sampler.stats().get("interval", 0)),
            time_nanos=int(now * 1e9),
            duration_nanos=max(0, int((now - since) * 1e9)),
            default_sample_type="inuse_space",
        )

    def _sample(self, row: Row, objects: int, size: int) -> pprof.Sample:
        stack = (*row.frames, TRUNCATED) if row.truncated else row.frames
        values = (objects, size, round(row.inuse_objects), round(row.inuse_bytes))
        return pprof.Sample(stack, values, tuple(self._labels(row)))

    def _labels(self, row: Row) -> Iterable[tuple[str, str]]:
        endpoint = self._sampler.labels.name(row.label)
        if endpoint:
            yield "endpoint", endpoint
        if row.thread:
            yield "thread", row.thread


def _key(row: Row) -> _Key:
    return row.stack_id, row.label, row.thread


def _allocated(row: Row) -> tuple[int, int]:
    return round(row.alloc_objects), round(row.alloc_bytes)


def _minus(total: tuple[int, int], before: tuple[int, int]) -> tuple[int, int]:
    if total[1] < before[1]:  # the sampler forgot the stack and began to count it anew
        return total
    return total[0] - before[0], total[1] - before[1]
