"""The defence's rows of the metric table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Number, Point

from heapwatch.defence.shedding import REASONS

if TYPE_CHECKING:
    from heapwatch.defence.defence import Defence

KINDS = ("relieve", "drain", "stay")
STOP = "stop"
_MODE = "heapwatch.defence.mode"


def defence_points(defence: Defence) -> Iterator[Point]:
    """A point of each metric about the defence."""
    yield Number(BY_NAME["heapwatch.defence.state"], int(defence.state), {})
    if defence.reading is not None:
        yield Number(BY_NAME["heapwatch.defence.used"], defence.reading.share, {})
    stopped = dict(defence.stopping.counts) if defence.stopping is not None else {}
    done = {kind: defence.journal.counts[kind, defence.mode] for kind in KINDS}
    # From 0 on, unlike the count by endpoint: a rule sees the first one too.
    for kind, count in {**done, STOP: sum(stopped.values())}.items():
        attributes = {"heapwatch.action": kind, _MODE: defence.mode}
        yield Number(BY_NAME["heapwatch.defence.actions"], count, attributes)
    for reason in REASONS:
        attributes = {"heapwatch.reason": reason, _MODE: defence.mode}
        yield Number(
            BY_NAME["heapwatch.defence.shed"], defence.shedding.counts[reason, defence.mode], attributes
        )
    for (endpoint, mode), count in stopped.items():
        attributes = {"heapwatch.endpoint": endpoint, _MODE: mode}
        yield Number(BY_NAME["heapwatch.defence.stopped"], count, attributes)
