"""The sampler's profiles made ready for delivery: with times, compressed."""

from __future__ import annotations

import time
from typing import NamedTuple

from heapwatch_wire.protobuf import Writer

from heapwatch.compressing import gzip
from heapwatch.sampler import Encoded, Sampler


class Taken(NamedTuple):
    """A profile for delivery, gzipped pprof, and the allocations that it alone carries."""

    data: bytes
    allocated: bytes


class Profiles:
    """Makes profiles of one sampler. Times are Unix seconds. RuntimeError, saying why, without samples."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._since = time.time()

    @property
    def reason(self) -> str:
        """Why there are no samples; "" when there are."""
        return self._sampler.reason

    def snapshot(self, now: float) -> bytes:
        """The state now with all allocations since the sampler's start, as gzipped pprof; changes nothing."""
        return _finish(self._sampler.profile(take=False), now, since=now)

    def peak(self) -> bytes:
        """What lived when most did, as gzipped pprof with that time, without allocations; changes nothing."""
        encoded, then = self._sampler.peak(), self._sampler.stats().get("peak_time", 0.0)
        return _finish(encoded, then, since=then)

    def take(self, now: float) -> Taken:
        """A profile whose allocations are those since the one before; `give_back` it if it gets lost."""
        encoded = self._sampler.profile(take=True)
        since, self._since = self._since, now
        return Taken(_finish(encoded, now, since), encoded.allocated)

    def give_back(self, taken: Taken) -> None:
        """Let the next profile carry the allocations of `taken`, which was not delivered."""
        self._sampler.give_back(taken.allocated)


def _finish(encoded: Encoded, now: float, since: float) -> bytes:
    times = Writer().integer(9, int(now * 1e9)).integer(10, max(0, int((now - since) * 1e9)))
    return gzip(encoded.message, bytes(times))
