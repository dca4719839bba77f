"""What was seen of one service version in a window of time: the input of every judgement.

Times are Unix seconds, memory is in bytes. Arrays of one series have the same length and ascending times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from heapwatch_wire.evidence import Evidence, Share, Site

FloatArray = npt.NDArray[np.float64]
EMPTY: FloatArray = np.empty(0)


@dataclass(frozen=True)
class Instance:
    """One process. `started` is its start when it told its uptime, else when it was first seen.

    `parent`: it serves nothing itself and has forked others that do, as gunicorn's master.
    """

    id: str
    host: str = ""
    pid: int = 0
    started: float = 0.0
    last_seen: float = 0.0
    rss_bytes: float | None = None
    limit_bytes: float | None = None
    parent: bool = False


@dataclass(frozen=True)
class Series:
    """Values of a gauge or counter of one instance."""

    name: str
    instance: str
    times: FloatArray
    values: FloatArray
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Histogram:
    """A cumulative histogram of one instance: observations so far and their sum at each time."""

    name: str
    instance: str
    times: FloatArray
    counts: FloatArray
    sums: FloatArray
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """Estimated live bytes and objects of a site in one instance."""

    times: FloatArray
    bytes: FloatArray
    objects: FloatArray


@dataclass(frozen=True)
class SiteTracks:
    """An allocation site with its track in each instance and the endpoints that allocate there."""

    site: Site
    tracks: Mapping[str, Track]
    endpoints: tuple[Share, ...] = ()


@dataclass(frozen=True)
class Report:
    """What an agent found inside its own process about a growing site."""

    instance: str
    evidence: Evidence


@dataclass(frozen=True)
class Observations:
    """Everything that was seen of one service version between `time - window` and `time`.

    `interval` is the sampler's mean bytes between two samples; `unread` says of each report that couldn't be
    read why not.
    """

    service: str
    version: str
    time: float
    window: float
    instances: tuple[Instance, ...] = ()
    series: tuple[Series, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    sites: tuple[SiteTracks, ...] = ()
    reports: tuple[Report, ...] = ()
    interval: float = 65536.0
    unread: tuple[str, ...] = ()

    @property
    def workers(self) -> tuple[Instance, ...]:
        """The instances that do the service's work: all but parents, unless there are only those."""
        return tuple(i for i in self.instances if not i.parent) or self.instances

    def gauge(self, name: str, instance: str) -> Series | None:
        """The series `name` of `instance`; None when it sent none."""
        return next((s for s in self.series if s.name == name and s.instance == instance), None)

    def histograms_of(self, name: str, instance: str) -> list[Histogram]:
        """The histograms `name` of `instance`, one per set of attributes."""
        return [h for h in self.histograms if h.name == name and h.instance == instance]

    def requests(self, instance: str) -> Series | None:
        """Requests served so far by `instance`, over all routes; None when it counts none."""
        found = [h for h in self.histograms_of("http.server.request.duration", instance) if h.times.size]
        if not found:
            return None
        times = np.unique(np.concatenate([h.times for h in found]))
        total = np.sum([steps(h.times, h.counts, times) for h in found], axis=0)
        return Series("requests", instance, times, total)


def steps(times: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """The latest of `values` at each of `at`; 0 before the first."""
    position = np.searchsorted(times, at, side="right") - 1
    return np.where(position >= 0, values[np.maximum(position, 0)], 0.0)


def request_rates(seen: Observations, instance: str) -> tuple[tuple[float, float], ...]:
    """(time, requests per second since the time before) of `instance`; empty when it counts none."""
    requests = seen.requests(instance)
    if requests is None or requests.times.size < 2:
        return ()
    rates = np.maximum(np.diff(requests.values), 0.0) / np.maximum(np.diff(requests.times), 1e-3)
    return tuple(zip(requests.times[1:].tolist(), rates.tolist(), strict=True))
