"""The collector's HTTP API, typed: reads observations, writes analyses back."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, EvidenceError, Share, Site, from_json, to_json

from .observations import Histogram, Instance, Observations, Report, Series, SiteTracks, Track

METRICS = (
    "process.memory.usage",
    "process.uptime",
    "process.cpu.time",
    "process.thread.count",
    "process.unix.file_descriptor.count",
    "container.memory.working_set",
    "heapwatch.container.memory.limit",
    "heapwatch.heap.live",
    "heapwatch.memory.fragmentation",
    "heapwatch.gc.pause",
    "http.server.request.duration",
)
SITES = 200
RAW_WINDOW = 3600.0
POINTS = 720
MOST_VALUES = 900_000
"""Points of sites that are asked for at once: the collector refuses a million."""
LEAST_POINTS = 180
_LATER = (http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS, http.client.SERVICE_UNAVAILABLE)
FASTEST_PUSH = 1.0
"""Seconds; points that fine are the pushes themselves."""


class CollectorError(RuntimeError):
    """The collector can't be reached, refused, or answered the unexpected; the message says the mend."""


class Unavailable(CollectorError):
    """The collector can't be reached, or takes nothing just now: the same may succeed later."""


@dataclass(frozen=True)
class Collector:
    """A collector at `url`; `token` is its bearer token if it wants one, `timeout` seconds per request."""

    url: str
    token: str = ""
    timeout: float = 30.0

    def services(self) -> list[str]:
        """Names of the services that the collector knows. Raises CollectorError."""
        with _expecting("/api/v1/services"):
            return [str(s["name"]) for s in self._get("/api/v1/services")["services"]]

    def observe(self, service: str, time: float, window: float, points: int = POINTS) -> list[Observations]:
        """What was seen of each version of `service` in the `window` up to `time`; of a long window `points`
        of each series. Raises CollectorError.
        """
        base = f"/api/v1/services/{urllib.parse.quote(service, safe='')}"
        span = {"start": time - window, "end": time}
        with _expecting(base):
            instances = self._get(f"{base}/instances", span)["instances"]
            step = 0.0 if window <= RAW_WINDOW else window / points
            query = {**span, "name": METRICS, "step": step}
            metrics = self._get(f"{base}/metrics", query)["series"]
            return [
                self._observe_version(base, version, time, window, step, instances, metrics)
                for version in sorted({str(i["version"] or "") for i in instances})
            ]

    def publish(self, analysis: Analysis) -> None:
        """Store `analysis` as the latest of its service version. Raises CollectorError."""
        self._send("/api/v1/analyses", json.dumps(to_json(analysis)).encode())

    def _observe_version(
        self, base: str, version: str, time: float, window: float, step: float,
        instances: Sequence[Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]],
    ) -> Observations:  # fmt: skip
        ours = [i for i in instances if str(i["version"] or "") == version]
        ids = {str(i["id"]) for i in ours}
        rows = [m for m in metrics if str(m["instance"]) in ids and m["points"]]
        series = tuple(_series(m) for m in rows if "buckets" not in m)
        # Sites are ranked by growth between the halves of the range: it begins where there is something.
        start = max(time - window, min(float(i["first_seen"]) for i in ours))
        step, limit = _grain(time - start, step, len(ours))
        query = {"version": version, "start": start, "end": time, "limit": limit, "step": step}
        sites = self._get(f"{base}/sites", query)
        reports, unread = _reports(self._get(f"{base}/evidence", {"version": version})["documents"])
        return Observations(
            service=urllib.parse.unquote(base.rsplit("/", 1)[1]),
            version=version,
            time=time,
            window=window,
            instances=tuple(_instance(i, series) for i in ours),
            series=series,
            histograms=tuple(_histogram(m) for m in rows if "buckets" in m),
            sites=tuple(_site(s) for s in sites["sites"]),
            reports=reports,
            interval=float(sites["interval"] or 65536),
            unread=unread,
        )

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        text = urllib.parse.urlencode(query or {}, doseq=True)
        return self._send(f"{path}?{text}" if text else path)

    def _send(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            request = urllib.request.Request(self.url.rstrip("/") + path, body, headers)
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                kind = Unavailable if error.code in _LATER else CollectorError
                raise kind(_refusal(path, error.code, error.read())) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(
                f"{self.url}: no answer ({error}); start `heapwatch serve` or give --collector its address"
            ) from None
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            raise CollectorError(f"{self.url}{path}: not JSON; is this a Heapwatch collector?") from None


@contextmanager
def _expecting(path: str) -> Iterator[None]:
    """Turns surprises while the answer of `path` is read into a CollectorError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        what = f"{type(error).__name__}: {error}"
        raise CollectorError(
            f"{path}: unexpected answer ({what:.200}); use the same version of collector and analyzer"
        ) from error


def _grain(seconds: float, step: float, instances: int) -> tuple[float, int]:
    """(seconds per point, sites) to ask for, so that `instances` give no more than MOST_VALUES points.

    The more instances, the coarser are points, down to LEAST_POINTS; then there are fewer sites.
    """
    points = max(LEAST_POINTS, MOST_VALUES // (SITES * instances))
    coarse = seconds / points
    limit = min(SITES, max(1, MOST_VALUES // (LEAST_POINTS * instances)))
    return (max(step, coarse) if coarse > FASTEST_PUSH else step), limit


def _refusal(path: str, status: int, body: bytes) -> str:
    try:
        document = json.loads(body)
        text = f"{document['error']}; {document.get('mend', '')}".rstrip("; ")
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode("utf-8", "replace")
    mend = " (give --token the collector's token)" if status == http.client.UNAUTHORIZED else ""
    return f"{path.partition('?')[0]}: the collector answered {status}: {text}{mend}"


def _reports(documents: Sequence[Mapping[str, Any]]) -> tuple[tuple[Report, ...], tuple[str, ...]]:
    """What processes reported, and of documents that can't be read why not: the others still count."""
    reports, unread = [], []
    for document in documents:
        try:
            reports.append(Report(str(document["instance"]), from_json(Evidence, document["evidence"])))
        except EvidenceError as error:
            unread.append(str(error))
    return tuple(reports), tuple(unread)


def _instance(row: Mapping[str, Any], series: Sequence[Series]) -> Instance:
    name = str(row["id"])
    uptime = next((s for s in series if s.name == "process.uptime" and s.instance == name), None)
    seen = float(row["first_seen"])
    return Instance(
        id=name,
        host=str(row.get("host") or ""),
        pid=int(row.get("pid") or 0),
        started=seen if uptime is None else float(uptime.times[-1] - uptime.values[-1]),
        last_seen=float(row["last_seen"]),
        rss_bytes=_optional(row.get("rss_bytes")),
        limit_bytes=_optional(row.get("limit_bytes")),
        parent=row.get("role") == "parent",
    )


def _series(row: Mapping[str, Any]) -> Series:
    points = np.asarray(row["points"], dtype=float)
    return Series(
        str(row["name"]), str(row["instance"]), points[:, 0], points[:, 1], row.get("attributes") or {}
    )


def _histogram(row: Mapping[str, Any]) -> Histogram:
    points = np.asarray(row["points"], dtype=float)
    name, instance = str(row["name"]), str(row["instance"])
    return Histogram(name, instance, points[:, 0], points[:, 1], points[:, 2], row.get("attributes") or {})


def _site(row: Mapping[str, Any]) -> SiteTracks:
    tracks: dict[str, Track] = {}
    for instance, rows in row["instances"].items():
        points = np.asarray(rows, dtype=float).reshape(-1, 3)
        tracks[str(instance)] = Track(points[:, 0], points[:, 1], points[:, 2])
    shares = tuple(Share(str(e["name"]), float(e["share"])) for e in row.get("endpoints") or ())
    return SiteTracks(from_json(Site, row["site"]), tracks, shares)


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)
