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
    # From 0 on, unlike the count by endpoint: a rule sees the first one too. A drain that was asked for is an
    # act in any mode.
    noted = {key: count for key, count in dict(defence.journal.counts).items() if key[0] in KINDS}
    done = {**{(kind, defence.mode): 0 for kind in KINDS}, **noted}
    for (kind, mode), count in {**done, (STOP, defence.mode): sum(stopped.values())}.items():
        attributes = {"heapwatch.action": kind, _MODE: mode}
        yield Number(BY_NAME["heapwatch.defence.actions"], count, attributes)
    refused = {**{(reason, defence.mode): 0 for reason in REASONS}, **defence.shedding.counts}
    for (reason, mode), count in refused.items():
        attributes = {"heapwatch.reason": reason, _MODE: mode}
        yield Number(BY_NAME["heapwatch.defence.shed"], count, attributes)
    for (endpoint, mode), count in stopped.items():
        attributes = {"heapwatch.endpoint": endpoint, _MODE: mode}
        yield Number(BY_NAME["heapwatch.defence.stopped"], count, attributes)
