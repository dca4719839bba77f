"""Histograms that a request adds to: explicit buckets, a sum, and for each bucket the last trace in it."""

from __future__ import annotations

import time
from bisect import bisect_left
from typing import NamedTuple

from heapwatch_wire.otlp import Exemplar


class Trace(NamedTuple):
    """The sampled trace, and the span, that a request belongs to, in hexadecimal (W3C Trace Context)."""

    trace_id: str
    span_id: str


class Distribution:
    """Counts of `buckets` and one more, the sum, and an exemplar by bucket. Callers hold their own lock."""

    __slots__ = ("buckets", "counts", "exemplars", "sum")

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def add(self, value: float, trace: Trace | None = None) -> None:
        """Count `value`."""
        bucket = bisect_left(self.buckets, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace is not None:
            self.exemplars[bucket] = Exemplar(value, time.time(), trace.trace_id, trace.span_id)

    def merge(self, other: Distribution) -> None:
        """Add what `other`, of the same buckets, has counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum
        self.exemplars = {**self.exemplars, **other.exemplars}

    def copy(self) -> Distribution:
        """The same counts, apart."""
        made = Distribution(self.buckets)
        made.merge(self)
        return made
