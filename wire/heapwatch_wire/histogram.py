"""Histograms of explicit buckets: upper bounds, a count for each, and one for what lies beyond."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def quantile(bounds: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    """The `q` quantile, linear within its bucket as Prometheus' histogram_quantile, the last bound when it
    lies beyond. None when the histogram is empty."""
    rank, seen = q * sum(counts), 0
    if not rank or not bounds:
        return None
    for (lower, upper), count in zip(pairwise((0.0, *bounds)), counts, strict=False):
        if count and seen + count >= rank:
            return lower + (upper - lower) * (rank - seen) / count
        seen += count
    return bounds[-1]
