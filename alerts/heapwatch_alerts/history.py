"""The embedded evaluator's memory: recent samples of the series that some rule reads, and no others."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from heapwatch_alerts.expressions import Series

Labels = tuple[tuple[str, str], ...]
"""Label names and values sorted by name, without empty values."""

Page = Iterable[tuple[str, Mapping[str, str], float]]
"""The samples of one reading: (series name, labels, value)."""


def labels_of(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((k, v) for k, v in labels.items() if v))


@dataclass(slots=True)
class _Track:
    times: deque[float] = field(default_factory=deque)
    values: deque[float] = field(default_factory=deque)


class History:
    """Samples of the wanted series, each as far back as some rule looks.

    At most `limit` series are kept, so that a page with exploding labels can't take the machine's
    memory; `refused` counts the series of the newest reading that found no room.
    """

    def __init__(self, wanted: Iterable[tuple[Series, int]], limit: int = 50_000) -> None:
        self._wanted: dict[str, list[Series]] = {}
        self._depth: dict[str, int] = {}
        for series, window in wanted:
            self._wanted.setdefault(series.name, []).append(series)
            self._depth[series.name] = max(window, self._depth.get(series.name, 0))
        self._limit = limit
        self._tracks: dict[str, dict[Labels, _Track]] = {name: {} for name in self._wanted}
        self._current: set[tuple[str, Labels]] = set()
        self._count = 0
        self.refused = 0

    def record(self, now: float, page: Page, *, complete: bool = True) -> None:
        """Take the reading of `now`.

        A series that is not on a complete page is gone, as after Prometheus' stale marker; what is
        not on an incomplete one stays as it was.
        """
        if complete:
            self._current = set()
        self._forget(now)
        self.refused = 0
        for name, labels, value in page:
            if any(_fits(series, labels) for series in self._wanted.get(name, ())):
                self._append(now, name, labels_of(labels), value)

    def last(self, series: Series) -> dict[Labels, float]:
        """The value of each fitting series on the newest reading."""
        return {
            labels: track.values[-1]
            for labels, track in self._fitting(series)
            if (series.name, labels) in self._current
        }

    def window(self, series: Series, now: float, seconds: int) -> dict[Labels, Points]:
        """Points of each fitting series in (now - seconds, now]; series without any are left out."""
        found = {}
        for labels, track in self._fitting(series):
            times, values = list(track.times), list(track.values)
            first, end = bisect_right(times, now - seconds), bisect_right(times, now)
            if first < end:
                found[labels] = Points(times[first:end], values[first:end])
        return found

    def _append(self, now: float, name: str, labels: Labels, value: float) -> None:
        tracks = self._tracks[name]
        track = tracks.get(labels)
        if track is None:
            if self._count >= self._limit:
                self.refused += 1
                return
            track = tracks[labels] = _Track()
            self._count += 1
        track.times.append(now)
        track.values.append(value)
        self._current.add((name, labels))

    def _forget(self, now: float) -> None:
        for name, tracks in self._tracks.items():
            oldest = now - self._depth[name]
            for labels, track in list(tracks.items()):
                # The newest value of a series on the page stays, however short the window is.
                keep = 1 if (name, labels) in self._current else 0
                while len(track.times) > keep and track.times[0] <= oldest:
                    track.times.popleft()
                    track.values.popleft()
                if not track.times:
                    del tracks[labels]
                    self._count -= 1

    def _fitting(self, series: Series) -> Iterable[tuple[Labels, _Track]]:
        for labels, track in self._tracks.get(series.name, {}).items():
            if not series.where or _fits(series, dict(labels)):
                yield labels, track


def _fits(series: Series, labels: Mapping[str, str]) -> bool:
    return all(m.matches(labels.get(m.label, "")) for m in series.where)


@dataclass(frozen=True, slots=True)
class Points:
    """Times (seconds, rising) and values of a series."""

    times: Sequence[float]
    values: Sequence[float]
