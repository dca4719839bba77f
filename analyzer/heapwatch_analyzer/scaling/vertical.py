"""Memory request and limit from usage, as a chain of small decisions: percentile, margin, confidence, floor.

The shape follows the Vertical Pod Autoscaler's recommender: peaks of short spans rather than every sample
(memory can't be throttled, so the peak is what must fit), a safety margin, and more room while little has
been seen. What the confidence factor `1 + 0.5 / (1 + hours)` does: x1.46 after 5 minutes, x1.25 after an
hour, x1.04 after 12 hours, x1.003 after a week.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..observations import FloatArray

MIB = float(1 << 20)
SPAN = 60.0
"""Seconds of which one peak is kept."""
SMALLEST = 64 * MIB
STEP = 8 * MIB


@dataclass(frozen=True)
class Usage:
    """Peaks in bytes of spans of SPAN seconds over all instances, and the hours that they cover."""

    peaks: FloatArray
    hours: float


Decision = Callable[[Usage], float]
"""Bytes for a usage."""


@dataclass(frozen=True)
class Size:
    """Memory request and limit of one instance, in bytes."""

    request: float
    limit: float


def percentile(fraction: float) -> Decision:
    """The peak that `fraction` of all peaks don't exceed."""
    return lambda usage: float(np.quantile(usage.peaks, fraction))


def margin(fraction: float, inner: Decision) -> Decision:
    """`inner` and `fraction` of it on top."""
    return lambda usage: inner(usage) * (1 + fraction)


def confidence(inner: Decision) -> Decision:
    """`inner`, widened while little has been seen."""
    return lambda usage: inner(usage) * (1 + 0.5 / (1 + usage.hours))


def floor(least: float, inner: Decision) -> Decision:
    """`inner`, but not under `least` bytes."""
    return lambda usage: max(least, inner(usage))


def rounded(step: float, inner: Decision) -> Decision:
    """`inner`, rounded up to a multiple of `step` bytes."""
    return lambda usage: float(np.ceil(inner(usage) / step) * step)


REQUEST = rounded(STEP, floor(SMALLEST, margin(0.10, percentile(0.90))))
LIMIT = rounded(STEP, floor(SMALLEST, confidence(margin(0.20, percentile(1.0)))))


def size(usage: Usage) -> Size:
    """Request and limit for `usage`, which has at least one peak."""
    request = REQUEST(usage)
    return Size(request, max(request, LIMIT(usage)))


def peaks(times: FloatArray, values: FloatArray) -> FloatArray:
    """The largest of `values` in each span of SPAN seconds."""
    if times.size == 0:
        return values
    starts = np.flatnonzero(np.diff(np.floor(times / SPAN), prepend=-1.0))
    return np.maximum.reduceat(values, starts)
