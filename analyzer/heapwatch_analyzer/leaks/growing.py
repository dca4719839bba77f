"""Which allocation sites grow: the product's growth test on every site, over all instances of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heapwatch_wire.growth import Finding, Series, Thresholds, discoveries, judge

from ..observations import Observations, SiteTracks, request_rates
from .screen import screen

LOOK = 4
"""Pushes between two looks at the same series: without the newest LOOK pushes, without twice as many, ..."""
LOOKS = 4
AGREEING = 2
"""Looks of the last LOOKS that must find a leak. Looks follow each other for hours: one alone may be chance,
and one that just misses the threshold takes nothing back."""


@dataclass(frozen=True)
class GrowingSite:
    """A site whose growth is a leak or a suspicion."""

    tracks: SiteTracks
    finding: Finding

    @property
    def rate(self) -> float:
        """Growth in bytes per second, over all instances."""
        return self.finding.growth.bytes_per_second if self.finding.growth else 0.0


def growing_sites(seen: Observations, thresholds: Thresholds) -> list[GrowingSite]:
    """The sites of `seen` that grow, fastest first; leaks are what so many sites don't show by chance."""
    started = {i.id: i.started for i in seen.instances}
    loads = {i.id: request_rates(seen, i.id) for i in seen.instances}
    found: list[GrowingSite] = []
    for tracks in screen(seen.sites, seen.interval, thresholds, started, loads):
        finding = _confirmed(_series(tracks, seen.interval, started, loads), thresholds)
        if finding.decision in ("leak", "suspicion"):
            finding = _without_idle_parents(finding, tracks, seen, thresholds)
            found.append(GrowingSite(tracks, finding))
    findings = discoveries([g.finding for g in found], len(seen.sites), thresholds)
    decided = (GrowingSite(g.tracks, finding) for g, finding in zip(found, findings, strict=True))
    return sorted(decided, key=lambda g: -g.rate)


def _confirmed(series: Sequence[Series], thresholds: Thresholds) -> Finding:
    """The finding for `series`, a leak only if AGREEING of the last looks agree; then the newest of those."""
    now = judge(series, thresholds)
    if now.decision not in ("leak", "suspicion"):
        return now
    earlier = (judge(_before(series, LOOK * i), thresholds) for i in range(1, LOOKS))
    agreeing = [finding for finding in (now, *earlier) if finding.decision == "leak"]
    if len(agreeing) >= AGREEING:
        return _of_growing(agreeing[0], series, thresholds)
    return replace(now, decision="suspicion")


def _without_idle_parents(
    finding: Finding, tracks: SiteTracks, seen: Observations, thresholds: Thresholds
) -> Finding:
    """`finding`, not counting parents of workers in which the site doesn't grow.

    What they loaded before they forked lives in them as in the workers, and nothing is to be expected there.
    """
    parents = {i.id: i.started for i in seen.instances if i.parent}
    own = {instance: track for instance, track in tracks.tracks.items() if instance in parents}
    alone = [
        judge([one], thresholds) for one in _series(replace(tracks, tracks=own), seen.interval, parents, {})
    ]
    idle = sum(found.decision == "stable" for found in alone)
    return replace(finding, instances=max(finding.growing, finding.instances - idle))


def _before(series: Sequence[Series], pushes: int) -> list[Series]:
    return [replace(s, points=s.points[:-pushes]) for s in series]


def _of_growing(finding: Finding, series: Sequence[Series], thresholds: Thresholds) -> Finding:
    """`finding` with the growth of the instances that leak, where those that don't hide it in their noise."""
    if finding.growth is None or finding.growth.low > 0:
        return finding
    leaking = [s for s in series if judge([s], thresholds).decision == "leak"]
    growth = judge(leaking, thresholds).growth if leaking else None
    return replace(finding, growth=growth) if growth and growth.low > 0 else finding


def _series(
    tracks: SiteTracks,
    interval: float,
    started: Mapping[str, float],
    loads: Mapping[str, tuple[tuple[float, float], ...]],
) -> list[Series]:
    return [
        Series(
            points=list(zip(t.times.tolist(), t.bytes.tolist(), t.objects.tolist(), strict=True)),
            interval=interval,
            start=started.get(instance),
            load=loads.get(instance, ()),
        )
        for instance, t in tracks.tracks.items()
        if t.times.size
    ]
