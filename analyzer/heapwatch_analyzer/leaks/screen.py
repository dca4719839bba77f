"""Leaves out the sites that can't be growing, all at once, before the growth test looks at each of the rest.

The growth test asks for samples and for a slope that stands out of its error, of all instances together or of
one, in some window. Both are found here for all sites at once, by the arithmetic of `heapwatch_wire.trend` on
the same floors; what fails that would fail the test as well. A matrix has a row per floor, a column per site.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from heapwatch_wire import trend
from heapwatch_wire.daily import DAY, DAYS
from heapwatch_wire.growth import Thresholds

from ..observations import FloatArray, SiteTracks, Track

MARGIN = 0.95
"""Part asked here of what the growth test asks for: it rounds otherwise."""

Loads = Mapping[str, Sequence[tuple[float, float]]]
"""(time, requests per second) of each instance."""


@dataclass(frozen=True)
class _Group:
    """Tracks of one instance with the same times: a column of `table` for each site in `sites`."""

    sites: npt.NDArray[np.intp]
    times: FloatArray
    table: FloatArray
    load: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Lines:
    """Slope of each site in bytes per second, its standard error, and the seconds they are of."""

    slope: FloatArray
    error: FloatArray
    seconds: float


def screen(
    sites: Sequence[SiteTracks],
    interval: float,
    thresholds: Thresholds,
    started: Mapping[str, float],
    loads: Loads,
) -> list[SiteTracks]:
    """The `sites` that the growth test may find growing, in their order."""
    groups = list(_groups(sites, thresholds, started, loads))
    length = max((float(g.times[-1] - g.times[0]) for g in groups), default=0.0)
    if length >= DAYS * DAY:  # The day is taken out of so long a series, site by site.
        return list(sites)
    passed = np.zeros(len(sites), dtype=bool)
    least = MARGIN * thresholds.suspicion_samples * interval
    while length >= MARGIN * thresholds.span:
        rise, slope, variance = np.zeros((3, len(sites)))
        for group in groups:
            found = _lines(group, length, thresholds)
            if found is None:
                continue
            own_rise = found.slope * found.seconds
            alone = found.slope > MARGIN * thresholds.leak_z * found.error
            passed[group.sites] |= alone & (own_rise >= least)
            rise[group.sites] += own_rise
            slope[group.sites] += found.slope
            variance[group.sites] += found.error**2
        passed |= (slope > MARGIN * thresholds.suspicion_z * np.sqrt(variance)) & (rise >= least)
        length /= 2
    return [tracks for tracks, chosen in zip(sites, passed, strict=True) if chosen]


def _groups(
    sites: Sequence[SiteTracks], thresholds: Thresholds, started: Mapping[str, float], loads: Loads
) -> Iterator[_Group]:
    """All tracks with enough pushes after the warm-up; those of an instance have its times, few lack some."""
    found: dict[tuple[str, int, float], list[tuple[int, Track]]] = defaultdict(list)
    for index, tracks in enumerate(sites):
        for instance, track in tracks.tracks.items():
            if track.times.size >= thresholds.points:
                found[instance, track.times.size, float(track.times[0])].append((index, track))
    for (instance, _, first), members in found.items():
        times = members[0][1].times
        begin = int(np.searchsorted(times, started.get(instance, first) + thresholds.warmup))
        if len(times) - begin >= thresholds.points:
            table = np.stack([track.bytes[begin:] for _, track in members], axis=1)
            columns = np.array([index for index, _ in members])
            yield _Group(columns, times[begin:], table, loads.get(instance, ()))


def _lines(group: _Group, length: float, thresholds: Thresholds) -> _Lines | None:
    """The lines through the last `length` seconds; None for too few pushes."""
    count = int(np.sum(group.times >= group.times[-1] - length))
    if count < thresholds.points:
        return None
    run = max(trend.PUSHES_PER_FLOOR, count // trend.FLOORS_MAX)
    used = min(4 * count, len(group.times)) // run * run
    at = group.times[-used:].reshape(-1, run).mean(axis=1)
    floors = group.table[-used:].reshape(len(at), run, -1).min(axis=1)
    floors = _without_load(at, floors, group.load, thresholds.load_variation)
    window = count // run
    own = at[-window:] - at[-window:].mean()
    weights = own / float(own @ own)
    error = np.sqrt(_variance(weights, at[-window:], floors))
    return _Lines(weights @ floors[-window:], error, float(group.times[-1] - group.times[-count]))


def _without_load(
    at: FloatArray, floors: FloatArray, load: Sequence[tuple[float, float]], variation: float
) -> FloatArray:
    """`trend.without_load` of each column."""
    rates = trend.varying_rates(at.tolist(), load, variation)
    if rates is None:
        return floors
    own, off = np.array(rates.own), np.array(rates.off)
    time = at - at.mean()
    rest = floors - floors.mean(axis=0)
    if rates.beside_time:
        rest = rest - np.outer(time, time @ rest / float(time @ time))
    weight = np.maximum(0.0, own @ rest / float(own @ own))
    without: FloatArray = floors - np.outer(off, weight)
    return without


def _variance(weights: FloatArray, at: FloatArray, floors: FloatArray) -> FloatArray:
    """Variance of the slopes that `weights` give under the noise of `floors`, as in `trend.fit`."""
    steps = np.diff(floors, axis=0)
    off = steps - steps.mean(axis=0)
    square = np.maximum((off**2).sum(axis=0), 1e-300)
    lagged = (off[:-1] * off[1:]).sum(axis=0) / square + 1 / len(steps)
    coefficient = np.clip(1 + 2 * lagged, 0.0, 0.98)
    total, carried = np.zeros((2, floors.shape[1]))
    for weight in weights:
        total += weight * weight + 2 * weight * carried
        carried = coefficient * (carried + weight)
    correlated = square / (len(steps) - 1) / (2 * (1 - coefficient)) * total
    walk = _longrun(off, square) * (len(at) - 1) / float(at[-1] - at[0]) ** 2
    variance: FloatArray = np.maximum(walk, correlated)
    return variance


def _longrun(off: FloatArray, square: FloatArray) -> FloatArray:
    """Long-run variance of the steps, as in `trend.noise_of`."""
    lags = max(1, min(4, len(off) // 8))
    total = square.copy()
    for lag in range(1, lags + 1):
        covariance = (off[:-lag] * off[lag:]).sum(axis=0)
        total += 2 * (1 - lag / (lags + 1)) * (covariance + square / len(off))
    longrun: FloatArray = np.maximum(total, square / (2 * lags + 2)) / (len(off) - 1)
    return longrun
