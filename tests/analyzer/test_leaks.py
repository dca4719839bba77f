"""Verdicts over simulated fleets: what leaks is named, what doesn't is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from heapwatch_analyzer.leaks.verdicts import fleet_series
from heapwatch_analyzer.observations import Observations, Report, Series, SiteTracks, Track
from heapwatch_analyzer.report import analyze
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, Growth, Holder, Part, from_json, to_json
from heapwatch_wire.native import outside_site
from heapwatch_wire.settings import AnalyzerSettings

SETTINGS = AnalyzerSettings()


def leaks(analysis: Analysis) -> list[Evidence]:
    return [v for v in analysis.verdicts if v.verdict == "leak"]


def until(seen: Observations, time: float) -> Observations:
    """`seen` as it was at `time`."""

    def cut(track: Track) -> Track:
        n = int((track.times <= time).sum())
        return Track(track.times[:n], track.bytes[:n], track.objects[:n])

    def cut_series(s: Series) -> Series:
        n = int((s.times <= time).sum())
        return replace(s, times=s.times[:n], values=s.values[:n])

    sites = tuple(replace(s, tracks={i: cut(t) for i, t in s.tracks.items()}) for s in seen.sites)
    return replace(seen, time=time, sites=sites, series=tuple(map(cut_series, seen.series)))


@pytest.mark.parametrize("rate", [1.0, 3.0])
@pytest.mark.parametrize("size", [200.0, 20000.0])
def test_leak_is_found_within_150_seconds(simulation: Any, rate: float, size: float) -> None:
    leak = simulation.Site("remember", simulation.leak(rate * simulation.MIB, size, since=60), size, line=77)
    fleet = simulation.Fleet([*simulation.healthy(1, 20), leak], 210, seed=3)
    analysis = analyze(fleet.observe(), SETTINGS)
    assert analysis.status == "leak"
    (verdict,) = leaks(analysis)
    assert (verdict.site.function, verdict.site.line) == ("remember", 77)
    assert 0 < verdict.growth.low < verdict.growth.bytes_per_second < verdict.growth.high
    # Two instances leak. The window may hold some of the quiet time before.
    assert verdict.growth.bytes_per_second == pytest.approx(2 * rate * simulation.MIB / 60, rel=0.35)
    assert verdict.live_bytes == pytest.approx(2 * rate * 2.5 * simulation.MIB, rel=0.4)
    assert verdict.growing == 2


@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_service_is_never_called_leaking(simulation: Any, seed: int) -> None:
    seen = simulation.Fleet(simulation.healthy(seed, 40), 240, seed=seed).observe()
    start = simulation.NOW - 240
    states = []
    for second in range(100, 241, 20):
        analysis = analyze(until(seen, start + second), SETTINGS)
        assert leaks(analysis) == []
        states.append(analysis.status)
    assert states[0] == "learning"
    assert states[-1] == "no leak"


def test_a_full_cache_is_no_leak(simulation: Any) -> None:
    cache = simulation.Site("cached", simulation.cache(6 * simulation.MIB, 3000, 0.06 * simulation.MIB), 3000)
    analysis = analyze(simulation.Fleet([cache], 300, seed=5).observe(), SETTINGS)
    assert analysis.status == "no leak"


def test_growth_of_rss_alone_is_growth_never_leak(simulation: Any) -> None:
    leak = simulation.Site("native", simulation.leak(3 * simulation.MIB, 4000), 4000)
    seen = replace(simulation.Fleet([leak], 600, seed=1).observe(), sites=())
    analysis = analyze(seen, SETTINGS)
    assert analysis.status == "learning"
    assert analysis.verdicts == ()
    assert all(f.low > 0 and f.forecast is not None for f in analysis.forecasts)
    told = " ".join(analysis.notes)
    assert "Growth of" in told
    assert "limit in" in told
    assert "no allocation site explains it" in told
    assert "leak" not in told.lower()


def test_leak_found_a_moment_ago_is_a_suspicion_until_confirmed(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000)
    seen = simulation.Fleet([leak], 240, seed=2).observe()
    start = simulation.NOW - 240
    verdicts = [analyze(until(seen, start + s), SETTINGS).verdicts for s in range(100, 220, 3)]
    states = ["none" if not v else v[0].verdict for v in verdicts]
    assert states.index("suspicion") < states.index("leak")
    assert set(states[states.index("leak") :]) == {"leak"}


def test_recycled_workers_still_leak(simulation: Any) -> None:
    """Ten workers that live a minute and a half each are told from ten that don't leak."""
    shape = simulation.leak(4 * simulation.MIB, 2000)
    fleets = [
        simulation.Fleet([simulation.Site("remember", shape, 2000, line=7)], 150, 1, seed=i).observe()
        for i in range(4)
    ]
    tracks, instances, series = {}, [], []
    for i, seen in enumerate(fleets):
        shift = -130.0 * (3 - i)
        (site,) = seen.sites
        (track,) = site.tracks.values()
        name = f"worker-{i}"
        tracks[name] = replace(track, times=track.times + shift)
        old = seen.instances[0]
        instances.append(replace(old, id=name, started=old.started + shift, last_seen=old.last_seen + shift))
        series.append(replace(seen.series[0], instance=name, times=seen.series[0].times + shift))
    seen = replace(
        fleets[-1], instances=tuple(instances), series=tuple(series), histograms=(),
        sites=(SiteTracks(fleets[-1].sites[0].site, tracks),),
    )  # fmt: skip
    (verdict,) = leaks(analyze(seen, SETTINGS))
    assert verdict.instances == 4
    assert verdict.growth.bytes_per_second < 2 * 4 * simulation.MIB / 60


def _family(simulation: Any, *, same_caller: bool) -> list[Any]:
    """A leak's entries and their table, made at two lines below one view function."""
    call = simulation.call
    view = call("show", "/srv/shop/shop/views.py", 40)
    other = view if same_caller else call("list_all", "/srv/shop/shop/admin.py", 12)
    plumbing = (call("dispatch", "/srv/shop/shop/wsgi.py", 5),)
    entry = simulation.Site(
        "Entry.__init__", simulation.leak(2 * simulation.MIB, 900, since=60), 900,
        file="/srv/shop/shop/cache.py", line=8, callers=(view, *plumbing),
    )  # fmt: skip
    table = simulation.Site(
        "render", simulation.leak(1 * simulation.MIB, 400, since=60), 400,
        file="/usr/lib/python3/dist-packages/jinja2/runtime.py", line=300, callers=(other, *plumbing),
    )  # fmt: skip
    bystanders = simulation.healthy(6, 10)
    for site in bystanders:
        site.callers = plumbing
    return [entry, table, *bystanders]


def test_sites_of_one_leak_are_one_verdict(simulation: Any) -> None:
    sites = _family(simulation, same_caller=True)
    analysis = analyze(simulation.Fleet(sites, 240, seed=4).observe(), SETTINGS)
    (verdict,) = leaks(analysis)
    assert verdict.site.function == "Entry.__init__"
    assert verdict.statistics["family_sites"] == 2
    assert verdict.statistics["family_bytes_per_second"] == pytest.approx(
        2 * 3 * simulation.MIB / 60, rel=0.3
    )
    assert any("render" in reason and "same leak" in reason for reason in verdict.reasons)


def test_sites_that_share_only_plumbing_are_two_leaks(simulation: Any) -> None:
    sites = _family(simulation, same_caller=False)
    found = leaks(analyze(simulation.Fleet(sites, 240, seed=4).observe(), SETTINGS))
    assert {v.site.function for v in found} == {"Entry.__init__", "render"}


def test_what_holds_objects_joins_and_parts_sites(simulation: Any) -> None:
    def reports(*paths: str) -> list[Any]:
        return [
            simulation.report(s.site, "host-100-1", "x.T", Holder(p, "module", ("dict",), 1.0))
            for s, p in zip(sites, paths, strict=False)
        ]

    sites = _family(simulation, same_caller=False)
    fleet = simulation.Fleet(sites, 240, seed=4)
    fleet.reports = reports("shop.CACHE[*]", "shop.CACHE['a'].table")
    assert len(leaks(analyze(fleet.observe(), SETTINGS))) == 1
    sites = _family(simulation, same_caller=True)
    fleet = simulation.Fleet(sites, 240, seed=4)
    fleet.reports = reports("shop.CACHE[*]", "shop.OTHER[*]")
    assert len(leaks(analyze(fleet.observe(), SETTINGS))) == 2


@pytest.mark.parametrize(("stays", "verdict"), [(0.98, "leak"), (0.1, "suspicion")])
def test_what_the_processes_see_freed_after_all_is_no_leak(
    simulation: Any, stays: float, verdict: str
) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000)
    fleet = simulation.Fleet([leak], 240, seed=2)
    told = simulation.report(leak.site, "host-100-1", "shop.Page")
    survival = replace(told.evidence, statistics={"stays": stays}, thresholds={"stays": 0.5})
    fleet.reports = [replace(told, evidence=survival)]
    (found,) = analyze(fleet.observe(), SETTINGS).verdicts
    assert found.verdict == verdict


def test_reports_of_all_instances_are_joined(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000)
    fleet = simulation.Fleet([leak], 240, seed=2)
    main = Holder("shop.SEEN[*]", "module", ("dict", "Page"), 0.8)
    side = Holder("shop.LAST", "module", ("Page",), 0.2)
    again = Holder("shop.SEEN['k']", "module", ("dict", "Page"), 1.0)
    fleet.reports = [
        simulation.report(leak.site, "host-100-1", "shop.Page", main, side),
        simulation.report(leak.site, "host-101-1", "shop.Page", again),
    ]
    (verdict,) = leaks(analyze(fleet.observe(), SETTINGS))
    assert verdict.type == "shop.Page"
    assert [(h.path, h.share) for h in verdict.holders] == [
        ("shop.SEEN['k']", pytest.approx(0.9)),
        ("shop.LAST", pytest.approx(0.1)),
    ]
    assert verdict.recommendation is not None
    assert "shop.SEEN" in verdict.recommendation.title


def test_what_the_search_for_holders_said_is_passed_on(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000)
    fleet = simulation.Fleet([leak], 240, seed=2)
    (verdict,) = leaks(analyze(fleet.observe(), SETTINGS))
    report = simulation.report(leak.site, "host-100-1", "")
    reasons = (*verdict.reasons, "no block is a Python object")
    fleet.reports = [replace(report, evidence=replace(report.evidence, reasons=reasons))]
    (verdict,) = leaks(analyze(fleet.observe(), SETTINGS))
    assert verdict.reasons == reasons


def test_a_leak_in_one_busy_instance_of_many_quiet_ones_is_told_from_zero(simulation: Any) -> None:
    quiet = simulation.Site("remember", simulation.churn(3 * simulation.MIB, 2000, 30), 2000)
    leak = simulation.Site("remember", simulation.leak(3 * simulation.MIB, 2000, since=60), 2000)
    calm = simulation.Fleet([quiet], 240, 4, seed=8).observe()
    busy = simulation.Fleet([leak], 240, 1, seed=3).observe()
    name = "host-500-1"
    (track,) = busy.sites[0].tracks.values()
    sites = (replace(calm.sites[0], tracks={**calm.sites[0].tracks, name: track}),)
    instances = (*calm.instances, replace(busy.instances[0], id=name))
    (verdict,) = leaks(analyze(replace(calm, sites=sites, instances=instances), SETTINGS))
    assert verdict.growth.low > 0
    assert (verdict.growing, verdict.instances) == (1, 5)


def test_verdict_is_a_valid_document(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000)
    analysis = analyze(simulation.Fleet([leak], 240, seed=2).observe(), SETTINGS)
    assert from_json(Analysis, to_json(analysis)) == analysis


def test_nothing_seen_is_learning(simulation: Any) -> None:
    analysis = analyze(Observations("shop", "1.0", simulation.NOW, 3600.0), SETTINGS)
    assert (analysis.status, analysis.verdicts, analysis.scaling) == ("learning", (), None)
    assert "No memory profiles arrive" in analysis.notes[0]


def test_fleet_series_sums_what_lives(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(2 * simulation.MIB, 2000), 2000)
    (tracks,) = simulation.Fleet([leak], 240, 3, seed=2).observe().sites
    series = fleet_series(tracks)
    assert len(series) <= 60
    assert [p.time for p in series] == sorted(p.time for p in series)
    assert series[-1].bytes == pytest.approx(sum(t.bytes[-1] for t in tracks.tracks.values()), rel=0.05)


@pytest.mark.parametrize("parent_grows", [False, True])
def test_a_parent_of_workers_counts_where_it_leaks(simulation: Any, parent_grows: bool) -> None:
    leak = simulation.Site("remember", simulation.leak(3 * simulation.MIB, 2000, since=60), 2000)
    seen = simulation.Fleet([*simulation.healthy(1, 20), leak], 240, seed=3, instances=3).observe()
    master = seen.instances[0]
    seen = replace(seen, instances=(replace(master, parent=True), *seen.instances[1:]))
    if not parent_grows:
        track = seen.sites[-1].tracks[master.id]
        loaded = Track(track.times, np.full(len(track.times), 4e6), np.full(len(track.times), 2e3))
        tracks = {**seen.sites[-1].tracks, master.id: loaded}
        seen = replace(seen, sites=(*seen.sites[:-1], replace(seen.sites[-1], tracks=tracks)))
    analysis = analyze(seen, SETTINGS)
    (verdict,) = leaks(analysis)
    expected = (3, 3) if parent_grows else (2, 2)
    assert (verdict.growing, verdict.instances) == expected
    assert analysis.instances == 2


def test_growth_outside_of_python_is_joined_while_it_is_reported(simulation: Any) -> None:
    seen = simulation.Fleet(simulation.healthy(2, 20), 240, seed=4).observe()
    told = Evidence(
        "suspicion", "shop", "1.0", outside_site(), "", 5e7, 0.0, Growth(4e4, 3e4, 5e4, 0.0), seen.time - 5,
        kind="native", parts=(Part("malloc used", 9e7, 4e4),), suspects=("lxml",),
    )  # fmt: skip
    first, second = (i.id for i in seen.instances)
    analysis = analyze(replace(seen, reports=(Report(first, told), Report(second, told))), SETTINGS)
    assert analysis.status == "no leak"
    (found,) = [v for v in analysis.verdicts if v.parts]
    assert (found.verdict, found.kind, found.growing, found.instances) == ("suspicion", "native", 2, 2)
    assert found.growth.bytes_per_second == 8e4
    assert found.parts == (Part("malloc used", 1.8e8, 8e4),)
    over = replace(told, time=seen.time - 600)
    analysis = analyze(replace(seen, reports=(Report(first, over),)), SETTINGS)
    assert [v for v in analysis.verdicts if v.parts] == []
