"""What the demo reads from the collector: instances, growing sites, the latest analysis."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import from_json


@dataclass(frozen=True)
class Worker:
    """One process of the app; `rss` in bytes."""

    pid: int
    rss: float


@dataclass(frozen=True)
class GrowingSite:
    """An allocation site with its live bytes now and its change over the last minute, over all workers."""

    text: str
    live: float
    change: float


class Platform:
    """Reads the collector's API under `base`, for one service."""

    def __init__(self, base: str, service: str) -> None:
        self.base = base
        self.service = service

    def ready(self) -> bool:
        """Whether the collector answers and knows the service."""
        try:
            return any(s["name"] == self.service for s in self._get("/api/v1/services")["services"])
        except (OSError, ValueError, KeyError):
            return False

    def workers(self) -> list[Worker]:
        found = self._try(f"/api/v1/services/{self.service}/instances", start=time.time() - 30)
        rows = found.get("instances", [])
        return sorted((Worker(int(r["pid"]), float(r["rss_bytes"] or 0)) for r in rows), key=lambda w: w.pid)

    def growing_sites(self, count: int = 5) -> list[GrowingSite]:
        found = self._try(f"/api/v1/services/{self.service}/sites", start=time.time() - 60, limit=count)
        return [_growing(row) for row in found.get("sites", [])][:count]

    def analysis(self) -> Analysis | None:
        """The latest analysis of the service, None before the first."""
        rows = self._try("/api/v1/analyses", service=self.service).get("analyses", [])
        documents = [from_json(Analysis, row) for row in rows]
        return max(documents, key=lambda a: a.time, default=None)

    def _try(self, path: str, **query: Any) -> dict[str, Any]:
        try:
            return self._get(path, **query)
        except (urllib.error.URLError, TimeoutError):
            return {}

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        address = f"{self.base}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            document: dict[str, Any] = json.load(answer)
            return document


def _growing(row: dict[str, Any]) -> GrowingSite:
    site = row["site"]
    series = [points for points in row["instances"].values() if points]
    live = sum(points[-1][1] for points in series)
    change = sum(points[-1][1] - points[0][1] for points in series)
    file = "/".join(site["file"].split("/")[-2:])
    return GrowingSite(f"{site['function']} ({file}:{site['line']})", live, change)
