"""Joins size, number and leaks into one advice. A leak is restarted and reported, never scaled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from heapwatch_wire.analysis import Scaling
from heapwatch_wire.evidence import Evidence

from ..observations import FloatArray, Instance, Observations, Series
from ..units import duration, mebibytes
from . import horizontal, vertical
from .manifest import patch

RESIZE = 0.25
"""Relative distance of a limit in force from the advised one that is worth a roll-out."""
LEAST_SECONDS = 120.0
BEFORE = 0.8
"""Part of the time to the limit after which a leaking instance is restarted."""
SPAN = 30.0


def advise(seen: Observations, leaks: Sequence[Evidence]) -> Scaling | None:
    """Advice for `seen`, in which `leaks` were proved; None until it was seen for LEAST_SECONDS."""
    memory = [s for i in seen.workers if (s := seen.gauge("process.memory.usage", i.id)) is not None]
    seconds = max((float(s.times[-1] - s.times[0]) for s in memory), default=0.0)
    if seconds < LEAST_SECONDS:
        return None
    usage = vertical.Usage(
        np.concatenate([vertical.peaks(s.times, s.values) for s in memory]), seconds / 3600
    )
    size = vertical.size(usage)
    running = [i for i in seen.workers if i.last_seen >= seen.time - max(60.0, seen.window / 10)]
    if leaks:
        return _restart(size, len(running), leaks)
    load = _load(seen, memory)
    limit = _limit_in_force(seen)
    now = max(1, len(running))
    wanted = horizontal.replicas(now, float(np.median(usage.peaks)), limit or size.limit)
    if load.follows and wanted != now:
        return _replicas(seen, size, now, wanted, load)
    return _size(seen, size, now, limit, load)


def _restart(size: vertical.Size, now: int, leaks: Sequence[Evidence]) -> Scaling:
    times = [leak.forecast.low for leak in leaks if leak.forecast is not None]
    when = f"within {duration(BEFORE * min(times))}, before its limit" if times else "when memory gets short"
    text = (
        f"A leak fills whatever it is given: don't scale. Restart each instance gracefully {when} "
        f"(gunicorn --max-requests does it for you), one at a time, and mend the leak."
    )
    return Scaling("restart", size.request, size.limit, now, text)


def _replicas(
    seen: Observations, size: vertical.Size, now: int, wanted: int, load: horizontal.Load
) -> Scaling:
    text = (
        f"Memory follows load (rank correlation {load.correlation:.2f} over {load.points} points): "
        f"{wanted} instances instead of {now} keep each at {horizontal.TARGET:.0%} of its limit."
    )
    action = "scale_out" if wanted > now else "scale_in"
    per_host = _per_host(seen.instances)
    pods = max(1, -(-wanted // _per_host(seen.workers)))
    manifest = patch(seen.service, per_host * size.request, per_host * size.limit, pods)
    return Scaling(action, size.request, size.limit, wanted, text, manifest)  # type: ignore[arg-type]


def _size(
    seen: Observations, size: vertical.Size, now: int, limit: float | None, load: horizontal.Load
) -> Scaling:  # fmt: skip
    per_host = _per_host(seen.instances)
    manifest = patch(seen.service, per_host * size.request, per_host * size.limit)
    reason = f"request {mebibytes(size.request)}, limit {mebibytes(size.limit)} per process"
    if per_host > 1:
        reason += f" ({per_host} processes per host: {mebibytes(per_host * size.limit)})"
    follows = "" if load.follows else " Memory doesn't follow load, so more instances would not lower it."
    if limit is None or abs(limit / size.limit - 1) <= RESIZE:
        return Scaling("keep", size.request, size.limit, now, f"Usage asks for {reason}.{follows}", manifest)
    change = "lower" if limit > size.limit else "raise"
    text = f"{change.capitalize()} the limit from {mebibytes(limit)}: usage asks for {reason}.{follows}"
    return Scaling("resize", size.request, size.limit, now, text, manifest)


def _limit_in_force(seen: Observations) -> float | None:
    """The smallest limit that instances report, per process of its host."""
    limits = [i.limit_bytes for i in seen.instances if i.limit_bytes]
    return min(limits) / _per_host(seen.instances) if limits else None


def _per_host(instances: Sequence[Instance]) -> int:
    """Processes that share a host (prefork workers and their parent share their container and its limit)."""
    newest = max((i.last_seen for i in instances), default=0.0)
    hosts = Counter(i.host for i in instances if i.last_seen >= newest - 60)
    return max(hosts.values(), default=1)


def _load(seen: Observations, memory: Sequence[Series]) -> horizontal.Load:
    """Memory and request rate of all instances, compared in spans of SPAN seconds."""
    used: list[FloatArray] = []
    rates: list[FloatArray] = []
    for series in memory:
        requests = seen.requests(series.instance)
        if requests is None or requests.times.size < 2:
            continue
        edges = np.arange(requests.times[0], requests.times[-1], SPAN)
        if edges.size < 2:
            continue
        served = np.diff(np.interp(edges, requests.times, requests.values))
        level = np.interp((edges[1:] + edges[:-1]) / 2, series.times, series.values)
        used.append(level - np.median(level))
        rates.append(np.maximum(served, 0.0) / SPAN)
    if not used:
        return horizontal.Load(0.0, 0, False)
    return horizontal.follow(np.concatenate(used), np.concatenate(rates))
