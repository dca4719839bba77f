"""The table that the detector reads: a row per span of time, a column per metric that an instance sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..observations import FloatArray, Histogram, Observations, steps

Column = Callable[[Observations, str, FloatArray], FloatArray | None]
"""(observations, instance, edges) -> one value per span between edges; None when the metric isn't sent."""


@dataclass(frozen=True)
class Table:
    """`values` has a row per span ending at `times` and a column per name in `columns`."""

    instance: str
    times: FloatArray
    columns: tuple[str, ...]
    values: FloatArray


def table(seen: Observations, instance: str, start: float, span: float) -> Table | None:
    """What `instance` did from `start` on, in rows of `span` seconds; None when it sent nothing usable."""
    rss = seen.gauge("process.memory.usage", instance)
    if rss is None:
        return None
    # Edges are multiples of the span, so that the rows of a moment are the same at each look.
    edges = np.arange(np.ceil(max(start, rss.times[0]) / span) * span, rss.times[-1] + 1e-6, span)
    if len(edges) < 2:
        return None
    found = {name: column(seen, instance, edges) for name, column in COLUMNS.items()}
    present = {name: values for name, values in found.items() if values is not None}
    return Table(instance, edges[1:], tuple(present), np.column_stack(list(present.values())))


def _level(name: str) -> Column:
    def level(seen: Observations, instance: str, edges: FloatArray) -> FloatArray | None:
        series = seen.gauge(name, instance)
        return None if series is None else np.interp(edges[1:], series.times, series.values)

    return level


def _growth(name: str) -> Column:
    def growth(seen: Observations, instance: str, edges: FloatArray) -> FloatArray | None:
        series = seen.gauge(name, instance)
        if series is None:
            return None
        return np.diff(np.interp(edges, series.times, series.values)) / np.diff(edges)

    return growth


def _per_second(name: str) -> Column:
    """Observations of a histogram per second."""

    def per_second(seen: Observations, instance: str, edges: FloatArray) -> FloatArray | None:
        counts = _total([(h, h.counts) for h in seen.histograms_of(name, instance)], edges)
        return None if counts is None else counts / np.diff(edges)

    return per_second


def _share(name: str) -> Column:
    """Sum of a histogram of durations per second: the share of time it took."""

    def share(seen: Observations, instance: str, edges: FloatArray) -> FloatArray | None:
        sums = _total([(h, h.sums) for h in seen.histograms_of(name, instance)], edges)
        return None if sums is None else sums / np.diff(edges)

    return share


def _mean(name: str) -> Column:
    """Mean of a histogram's observations in each span; in a span without any, that of the span before."""

    def mean(seen: Observations, instance: str, edges: FloatArray) -> FloatArray | None:
        found = seen.histograms_of(name, instance)
        counts, sums = (
            _total([(h, h.counts) for h in found], edges),
            _total([(h, h.sums) for h in found], edges),
        )
        if counts is None or sums is None or not counts.any():
            return None
        filled = np.flatnonzero(counts > 0)
        last = filled[np.maximum(np.searchsorted(filled, np.arange(len(counts)), side="right") - 1, 0)]
        return sums[last] / counts[last]

    return mean


def _total(parts: list[tuple[Histogram, FloatArray]], edges: FloatArray) -> FloatArray | None:
    """Increase of cumulative values between edges, summed over a histogram's sets of attributes."""
    rises = [np.maximum(np.diff(steps(h.times, v, edges)), 0.0) for h, v in parts if h.times.size]
    return np.sum(rises, axis=0) if rises else None


COLUMNS: dict[str, Column] = {
    "process.memory.usage": _level("process.memory.usage"),
    "heapwatch.memory.growth": _growth("process.memory.usage"),
    "heapwatch.heap.live": _level("heapwatch.heap.live"),
    "heapwatch.memory.fragmentation": _level("heapwatch.memory.fragmentation"),
    "heapwatch.gc.pause": _share("heapwatch.gc.pause"),
    "http.server.request.duration": _mean("http.server.request.duration"),
    "requests per second": _per_second("http.server.request.duration"),
    "process.thread.count": _level("process.thread.count"),
    "process.unix.file_descriptor.count": _level("process.unix.file_descriptor.count"),
}
"""Names of the metrics table where the column is one; what a person would call it where it isn't."""
