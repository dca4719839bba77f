"""What the API says of services: their processes, memory, and the verdict of their latest analyses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from heapwatch_collector.store.catalog import Process

ALIVE_MS = 60_000


def describe(processes: Iterable[Process], analyses: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A summary per service. `processes` must be in the order of their services."""
    return [
        _summary(name, list(group), [a for a in analyses if a["service"] == name])
        for name, group in groupby(processes, key=lambda p: p.service)
    ]


def instance(process: Process) -> dict[str, Any]:
    """An instance as the API shows it."""
    return {
        "id": process.instance,
        "version": process.version,
        "pid": int(process.pid) if process.pid.isdecimal() else None,
        "host": process.host,
        "runtime": process.runtime,
        "first_seen": process.first / 1000,
        "last_seen": process.last / 1000,
        "rss_bytes": process.rss,
        "limit_bytes": process.limit,
        "live_bytes": process.live,
        "role": "parent" if process.is_parent else "worker",
    }


def _summary(name: str, processes: list[Process], analyses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    last = max(p.last for p in processes)
    # The service as it is now, or as it was in the last minute that it was seen.
    current = [p for p in processes if p.last >= last - ALIVE_MS]
    workers = [p for p in current if not p.is_parent]
    reported = [p.rss for p in current if p.rss is not None]
    versions = {p.version for p in current}
    verdicts = [a for a in analyses if a["version"] in versions]
    return {
        "name": name,
        "versions": sorted({p.version for p in processes}),
        "instances": len(workers) or len(current),
        "parents": len(current) - len(workers) if workers else 0,
        "first_seen": min(p.first for p in processes) / 1000,
        "last_seen": last / 1000,
        "rss_bytes": sum(reported) if reported else None,
        "status": _status([a["status"] for a in verdicts]),
        "leaks": sum(e["verdict"] == "leak" for a in verdicts for e in a.get("verdicts", ())),
    }


def _status(found: Sequence[str]) -> str:
    """The gravest of the versions' states."""
    return next((status for status in ("leak", "learning", "no leak") if status in found), "unknown")
