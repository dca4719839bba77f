"""Makes the verdict: growth by site, joined with the agents' reports, one document per leak."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from heapwatch_wire.analysis import InstanceForecast
from heapwatch_wire.evidence import Evidence, Forecast, Point
from heapwatch_wire.growth import Thresholds

from ..forecasts import is_clear, leak_forecast
from ..observations import Observations, SiteTracks, Track, steps
from ..recommendations import recommend
from ..units import rate
from .families import families
from .growing import GrowingSite, growing_sites
from .outside import outside_python
from .reports import endpoints, holders, main_kind, main_type

POINTS = 60
"""Points of the series in a document."""
MOST_SUSPICIONS = 5
LEADER = 0.25
"""Growth over the family's fastest from which a member whose holder is known is named instead of it."""


@dataclass(frozen=True)
class Verdicts:
    """`leaks`, then `suspicions`, each fastest first; `judged_seconds`: the longest series after warm-up."""

    leaks: tuple[Evidence, ...]
    suspicions: tuple[Evidence, ...]
    judged_seconds: float


def find(
    seen: Observations,
    thresholds: Thresholds,
    forecasts: Sequence[InstanceForecast],
    memory_limit: float = 0.0,
    slow: Sequence[GrowingSite] = (),
) -> Verdicts:
    """The leaks and suspicions of `seen`, and the leaks `slow` that only a look further back told;
    `memory_limit` stands in where an instance reports none."""
    reports: dict[str, list[Evidence]] = defaultdict(list)
    for report in seen.reports:
        reports[report.evidence.site.id].append(report.evidence)
    growing = _with_slow(growing_sites(seen, thresholds), slow)
    growing = [_unless_turned_over(g, reports.get(g.tracks.site.id, ())) for g in growing]
    proved = [g for g in growing if g.finding.decision == "leak"]
    suspected = [g for g in growing if g.finding.decision == "suspicion"]
    # Proved sites first: a suspicion that belongs to a leak supports it and is none of its own.
    groups = families([*proved, *suspected], seen.sites, reports)
    documents = [_document(seen, group, reports, forecasts, memory_limit) for group in groups]
    suspicions = [d for d in documents if d.verdict == "suspicion"][:MOST_SUSPICIONS]
    return Verdicts(
        leaks=tuple(d for d in documents if d.verdict == "leak"),
        suspicions=(*suspicions, *outside_python(seen, forecasts)),
        judged_seconds=_judged_seconds(seen, thresholds),
    )


def _with_slow(growing: Sequence[GrowingSite], slow: Sequence[GrowingSite]) -> list[GrowingSite]:
    """Each site once: as the window shows it where that proves a leak, else as the past does."""
    proved = {g.tracks.site.id for g in growing if g.finding.decision == "leak"}
    added = [g for g in slow if g.tracks.site.id not in proved]
    told = {g.tracks.site.id for g in added}
    return sorted([*(g for g in growing if g.tracks.site.id not in told), *added], key=lambda g: -g.rate)


def _unless_turned_over(site: GrowingSite, reports: Sequence[Evidence]) -> GrowingSite:
    """`site`, no leak if its objects are freed after all, by what the processes saw of their survival."""
    told = [
        r.statistics["stays"] - r.thresholds.get("stays", 0.0) for r in reports if "stays" in r.statistics
    ]
    turned_over = bool(told) and sum(told) < 0
    return replace(site, finding=replace(site.finding, decision="suspicion")) if turned_over else site


def _document(
    seen: Observations,
    group: Sequence[GrowingSite],
    reports: Mapping[str, Sequence[Evidence]],
    forecasts: Sequence[InstanceForecast],
    memory_limit: float,
) -> Evidence:
    leader = _leader(group, reports)
    finding, tracks = leader.finding, leader.tracks
    assert finding.growth is not None
    own = reports.get(tracks.site.id, ())
    chains = holders(own) or holders([r for g in group for r in reports.get(g.tracks.site.id, ())])
    series = fleet_series(tracks)
    evidence = Evidence(
        verdict="leak" if finding.decision == "leak" else "suspicion",
        service=seen.service,
        version=seen.version,
        site=tracks.site,
        type=main_type(own),
        live_bytes=series[-1].bytes,
        live_objects=series[-1].objects,
        growth=finding.growth,
        time=seen.time,
        instances=finding.instances,
        growing=finding.growing,
        series=series,
        statistics={**finding.statistics, **_family_statistics(group, series)},
        thresholds=finding.thresholds,
        reasons=(
            *finding.reasons,
            *_search_reasons(own, len(finding.reasons)),
            *_family_reasons(group, leader),
        ),
        holders=chains,
        endpoints=tracks.endpoints or endpoints(own),
        forecast=_forecast(seen, group, leader, forecasts, memory_limit),
        kind=main_kind(own),
    )
    return replace(evidence, recommendation=recommend(evidence))


def _search_reasons(reports: Sequence[Evidence], tested: int) -> tuple[str, ...]:
    """What the agents' search for holders said, after the `tested` reasons of the growth test."""
    found = (reason for report in reports for reason in report.reasons[tested:])
    return tuple(dict.fromkeys(found))


def _leader(group: Sequence[GrowingSite], reports: Mapping[str, Sequence[Evidence]]) -> GrowingSite:
    """The member to name: the fastest, unless what holds it is unknown and known of one nearly as fast."""
    certain = [g for g in group if g.finding.decision == group[0].finding.decision]
    fastest = max(certain, key=lambda g: g.rate)
    explained = [
        g
        for g in certain
        if g.rate >= LEADER * fastest.rate and any(r.holders for r in reports.get(g.tracks.site.id, ()))
    ]
    return max(explained, key=lambda g: g.rate, default=fastest)


def _family_statistics(group: Sequence[GrowingSite], series: Sequence[Point]) -> dict[str, float]:
    alive = [p.time for p in series if p.bytes > 0]
    return {
        "first_seen": alive[0] if alive else series[0].time,
        "last_seen": alive[-1] if alive else series[-1].time,
        "family_sites": float(len(group)),
        "family_bytes_per_second": sum(g.rate for g in group),
    }


def _family_reasons(group: Sequence[GrowingSite], leader: GrowingSite) -> tuple[str, ...]:
    others = [g for g in group if g is not leader]
    return tuple(
        f"the same leak grows at {g.tracks.site.function} ({g.tracks.site.file}:{g.tracks.site.line}) "
        f"by {rate(g.rate)}"
        for g in others
    )


def _forecast(
    seen: Observations,
    group: Sequence[GrowingSite],
    leader: GrowingSite,
    forecasts: Sequence[InstanceForecast],
    memory_limit: float,
) -> Forecast | None:
    """The earliest forecast of an instance in which the site lives; from the site's own growth while the
    instances' memory doesn't show it clearly (a leak fills free heap first, and warm-up grows faster)."""
    ours = [f for f in forecasts if f.instance in leader.tracks.tracks and is_clear(f)]
    expected = [f.forecast for f in ours if f.forecast is not None]
    if expected:
        return min(expected, key=lambda f: f.seconds)
    growth = leader.finding.growth
    assert growth is not None
    scale = sum(g.rate for g in group) / max(growth.bytes_per_second, 1e-9)
    return leak_forecast(seen, growth, scale, max(1, leader.finding.growing), memory_limit)


def fleet_series(tracks: SiteTracks, points: int = POINTS) -> tuple[Point, ...]:
    """Live bytes and objects of a site summed over its instances, at no more than `points` times.

    An instance counts from its first push until it pauses; between pushes its latest value stands.
    """
    all_times = np.unique(np.concatenate([t.times for t in tracks.tracks.values()]))
    times = all_times[np.unique(np.linspace(0, len(all_times) - 1, points).round().astype(int))]
    size, count = np.zeros(len(times)), np.zeros(len(times))
    for track in tracks.tracks.values():
        if track.times.size:
            alive = times <= float(track.times[-1]) + _pause(track)
            size += np.where(alive, steps(track.times, track.bytes, times), 0.0)
            count += np.where(alive, steps(track.times, track.objects, times), 0.0)
    return tuple(map(Point, times.tolist(), size.tolist(), count.tolist()))


def _pause(track: Track) -> float:
    """Seconds without a push after which an instance is taken for gone."""
    return 2.5 * float(np.median(np.diff(track.times))) if track.times.size > 1 else 0.0


def _judged_seconds(seen: Observations, thresholds: Thresholds) -> float:
    """Seconds of the longest series after its warm-up."""
    started = {i.id: i.started for i in seen.instances}
    longest = 0.0
    for tracks in seen.sites:
        for instance, track in tracks.tracks.items():
            if track.times.size:
                first, last = float(track.times[0]), float(track.times[-1])
                longest = max(longest, last - max(first, started.get(instance, first) + thresholds.warmup))
    return longest
