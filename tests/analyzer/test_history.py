"""The slow tier: a leak that an hour doesn't show, beneath the load of the day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from heapwatch_analyzer.history import Past, look_back
from heapwatch_analyzer.observations import Instance, Observations, Series, SiteTracks, Track
from heapwatch_analyzer.report import analyze
from heapwatch_wire.evidence import Call, Site
from heapwatch_wire.settings import AnalyzerSettings

MIB = float(1 << 20)
HOUR, DAY = 3600.0, 86400.0
NOW = 1.8e9
INTERVAL = 65536.0
SETTINGS = AnalyzerSettings()


def site(name: str, line: int) -> Site:
    call = Call(name, "/srv/shop/shop/views.py", line)
    return Site(f"{line:016x}", name, call.file, line, call, (call,))


def observed(seconds: float, step: float, seed: int = 1) -> Observations:
    """Sessions that follow the day, a busy level, and a leak of 1 MiB an hour, on two instances that
    began four days ago. A point each `step`."""
    rng = np.random.default_rng(seed)
    times = NOW - seconds + np.arange(0.0, seconds, step)
    day = 1 - np.cos(2 * np.pi * times / DAY)
    levels = {
        "sessions": 30 * MIB * (1 + day),
        "level": np.full(len(times), 20 * MIB),
        "remember": 2 * MIB + MIB * (times - NOW + 4 * DAY) / HOUR,
    }
    names = ("host-1-a", "host-2-a")
    sites = []
    for number, (name, level) in enumerate(levels.items()):
        tracks = {}
        for instance in names:
            # A step's mean of a hundred pushes; requests in flight weigh as much as 5%.
            blocks = rng.normal(level / INTERVAL, np.sqrt(level / INTERVAL))
            size = INTERVAL * blocks * (1 + 0.05 * rng.standard_normal(len(times)) * (name == "level"))
            tracks[instance] = Track(times, size, size / 500)
        sites.append(SiteTracks(site(name, number + 1), tracks))
    rss = 150 * MIB + sum(levels.values()) + MIB * rng.standard_normal((2, len(times)))
    series = tuple(
        Series("process.memory.usage", name, times, own) for name, own in zip(names, rss, strict=True)
    )
    instances = tuple(
        Instance(name, name, 1, NOW - 4 * DAY, NOW, float(own[-1]), 1024 * MIB)
        for name, own in zip(names, rss, strict=True)
    )
    return Observations("shop", "1.0", NOW, seconds, instances, series, sites=tuple(sites), interval=INTERVAL)


def test_days_show_what_an_hour_does_not() -> None:
    hour, days = observed(HOUR, 10.0), observed(60 * HOUR, 1800.0)
    assert analyze(hour, SETTINGS).status == "no leak"
    past = look_back(days, SETTINGS)
    assert [g.tracks.site.function for g in past.leaks] == ["remember"]

    analysis = analyze(hour, SETTINGS, past)

    assert analysis.status == "leak"
    (leak,) = analysis.verdicts
    assert leak.site.function == "remember"
    assert leak.growth.bytes_per_second == pytest.approx(2 * MIB / HOUR, rel=0.3)
    assert leak.growth.low > 0
    assert leak.series[-1].time - leak.series[0].time > 2 * DAY
    assert leak.forecast is not None


@pytest.mark.parametrize("seed", [2, 3])
def test_the_load_of_the_day_is_no_slow_leak(seed: int) -> None:
    leaks = look_back(observed(60 * HOUR, 1800.0, seed), SETTINGS).leaks
    assert {g.tracks.site.function for g in leaks} <= {"remember"}


def test_what_the_window_proves_is_told_as_the_window_shows_it(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(3 * MIB, 2000.0), 2000.0)
    seen = simulation.Fleet([leak, *simulation.healthy(5, 8)], 400, seed=3).observe()
    (slow,) = look_back(observed(60 * HOUR, 1800.0), SETTINGS).leaks
    same = replace(slow, tracks=replace(slow.tracks, site=leak.site))
    assert analyze(seen, SETTINGS, Past((same,))).verdicts == analyze(seen, SETTINGS).verdicts
