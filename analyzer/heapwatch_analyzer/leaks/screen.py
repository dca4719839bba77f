"""Leaves out the sites that can't be growing, all at once, before the growth test looks at each of the rest.

The growth test asks for samples and for a slope that stands out of its error, of all instances together or of
one, in some window. Both are found here for all sites at once, with an error that is rather too small: white
noise about the line through the floors. What fails that would fail the test as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from heapwatch_wire.growth import Thresholds
from heapwatch_wire.trend import FLOORS_MAX, PUSHES_PER_FLOOR

from ..observations import FloatArray, SiteTracks, Track

MARGIN = 0.8
"""Part asked here of what the growth test asks for, whose floors may be cut elsewhere."""


@dataclass(frozen=True)
class _Group:
    """Tracks of one instance with the same times: a row of `table` for each site in `sites`."""

    sites: npt.NDArray[np.intp]
    times: FloatArray
    table: FloatArray


def screen(sites: Sequence[SiteTracks], interval: float, thresholds: Thresholds) -> list[SiteTracks]:
    """The `sites` that the growth test may find growing, in their order."""
    groups = list(_groups(sites, thresholds.points))
    passed = np.zeros(len(sites), dtype=bool)
    length = max((float(g.times[-1] - g.times[0]) for g in groups), default=0.0)
    least = MARGIN * thresholds.suspicion_samples * interval
    while length >= MARGIN * thresholds.span:
        rise, slope, variance = np.zeros((3, len(sites)))
        for group in groups:
            own_slope, own_error, seconds = _lines(group, length)
            alone = own_slope > MARGIN * thresholds.leak_z * own_error
            passed[group.sites] |= alone & (own_slope * seconds >= least)
            rise[group.sites] += own_slope * seconds
            slope[group.sites] += own_slope
            variance[group.sites] += own_error**2
        passed |= (slope > MARGIN * thresholds.suspicion_z * np.sqrt(variance)) & (rise >= least)
        length /= 2
    return [tracks for tracks, chosen in zip(sites, passed, strict=True) if chosen]


def _groups(sites: Sequence[SiteTracks], points: int) -> Iterator[_Group]:
    """All tracks of at least `points` pushes; those of an instance have its push times, which few lack."""
    found: dict[tuple[str, int, float], list[tuple[int, Track]]] = defaultdict(list)
    for index, tracks in enumerate(sites):
        for instance, track in tracks.tracks.items():
            if track.times.size >= points:
                found[instance, track.times.size, float(track.times[0])].append((index, track))
    for members in found.values():
        table = np.array([track.bytes for _, track in members])
        yield _Group(np.array([index for index, _ in members]), members[0][1].times, table)


def _lines(group: _Group, length: float) -> tuple[FloatArray, FloatArray, float]:
    """Slope of each row over the last `length` seconds, its error, and the seconds."""
    count = int(np.sum(group.times >= group.times[-1] - length))
    run = max(PUSHES_PER_FLOOR, count // FLOORS_MAX)
    used = count // run * run
    if used < 4 * run:
        return np.zeros(len(group.table)), np.zeros(len(group.table)), 0.0
    floors = group.table[:, -used:].reshape(len(group.table), -1, run).min(axis=2)
    at = group.times[-used:].reshape(-1, run).mean(axis=1)
    at = at - at.mean()
    spread = float(at @ at)
    slope: FloatArray = floors @ at / spread
    rest = ((floors - floors.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) - slope**2 * spread
    error: FloatArray = np.sqrt(np.maximum(rest, 0.0) / (len(at) - 2) / spread)
    return slope, error, float(group.times[-1] - group.times[-used])
