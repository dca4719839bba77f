"""The screen before the growth test: it saves work and loses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from heapwatch_analyzer.leaks.screen import screen
from heapwatch_analyzer.observations import SiteTracks
from heapwatch_wire.growth import THRESHOLDS, Series, judge


def grows(tracks: SiteTracks, interval: float) -> bool:
    series = [
        Series(list(zip(t.times.tolist(), t.bytes.tolist(), t.objects.tolist(), strict=True)), interval)
        for t in tracks.tracks.values()
    ]
    return judge(series).decision in ("leak", "suspicion")


def mixed(simulation: Any, seed: int) -> list[Any]:
    """Slow and fast leaks from the start and late, among healthy sites."""
    leaks = [
        simulation.Site(
            f"leak_{i}", simulation.leak(rate * simulation.MIB, 2000.0, since=since), 2000.0, line=i
        )
        for i, (rate, since) in enumerate((r, s) for r in (0.1, 0.3, 1.0, 4.0) for s in (0.0, 60.0))
    ]
    return [*simulation.healthy(seed, 20), *leaks]


@pytest.mark.parametrize("seconds", [130.0, 400.0])
def test_what_the_growth_test_finds_passes(simulation: Any, seconds: float) -> None:
    seen = simulation.Fleet(mixed(simulation, 1), seconds, seed=1).observe()
    passed = screen(seen.sites, seen.interval, THRESHOLDS, {}, {})
    found = [tracks for tracks in seen.sites if grows(tracks, seen.interval)]
    assert found
    assert [tracks.site.function for tracks in found if tracks not in passed] == []


def test_most_healthy_sites_need_no_test(simulation: Any) -> None:
    seen = simulation.Fleet(simulation.healthy(3, 40), 400, seed=3).observe()
    assert len(screen(seen.sites, seen.interval, THRESHOLDS, {}, {})) < 20


def test_instances_may_have_different_pushes(simulation: Any) -> None:
    """A site that appeared later in one instance, and one too young to be judged, are no obstacle."""
    leak = simulation.Site("remember", simulation.leak(3 * simulation.MIB, 2000.0), 2000.0)
    seen = simulation.Fleet([leak, *simulation.healthy(4, 5)], 300, seed=4).observe()
    first, *others = seen.sites
    (name, track), *_ = first.tracks.items()
    cut = type(track)(track.times[40:], track.bytes[40:], track.objects[40:])
    short = type(track)(track.times[:3], track.bytes[:3], track.objects[:3])
    tracks = SiteTracks(first.site, {**first.tracks, name: cut, "young": short}, first.endpoints)
    assert tracks in screen([tracks, *others], seen.interval, THRESHOLDS, {}, {})
    assert screen([], seen.interval, THRESHOLDS, {}, {}) == []
