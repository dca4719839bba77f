"""The collector's and the tuner's rows of the metric table."""

from __future__ import annotations

from collections.abc import Iterator

from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Histogram, Number, Point

from heapwatch.gcstats import GcStats
from heapwatch.gctuner.actions import KINDS
from heapwatch.gctuner.tuner import ACT, OBSERVE, Tuner


def gc_points(stats: GcStats, tuner: Tuner, share: float) -> Iterator[Point]:
    """A point of each metric about garbage collection, which takes `share` of the time."""
    yield from _generations(stats, tuner.thresholds)
    request_pause = BY_NAME["heapwatch.gc.request.pause"]
    for place, pauses in (("inside", stats.inside()), ("outside", stats.outside())):
        yield Histogram(request_pause, pauses.counts, pauses.sum, {"heapwatch.gc.place": place})
    yield Number(BY_NAME["heapwatch.gc.time.share"], share, {})
    yield Number(BY_NAME["heapwatch.gc.frozen"], tuner.frozen, {})
    yield from _actions(tuner)


def _generations(stats: GcStats, thresholds: tuple[int, ...]) -> Iterator[Point]:
    for number, generation in enumerate(stats.generations()):
        attributes = {"cpython.gc.generation": str(number)}
        for name, value in (
            ("cpython.gc.collections", generation.collections),
            ("cpython.gc.collected_objects", generation.collected),
            ("cpython.gc.uncollectable_objects", generation.uncollectable),
            ("heapwatch.gc.threshold", thresholds[number]),
        ):
            yield Number(BY_NAME[name], value, attributes)
        yield Histogram(
            BY_NAME["heapwatch.gc.pause"], generation.pause_counts, generation.pause_sum, attributes
        )


def _actions(tuner: Tuner) -> Iterator[Point]:
    metric, counts = BY_NAME["heapwatch.gc.tuner.actions"], tuner.journal.counts
    for mode in (OBSERVE, ACT):
        for kind in KINDS:
            count = counts[kind, mode]
            if count or mode == tuner.mode:
                yield Number(metric, count, {"heapwatch.action": kind, "heapwatch.gc.mode": mode})
