"""Advice on size: enough and not too much, replicas only where they help, never for a leak."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from heapwatch_analyzer.observations import FloatArray, Histogram, Observations
from heapwatch_analyzer.scaling import advise, horizontal, vertical
from heapwatch_analyzer.scaling.manifest import patch, quantity
from heapwatch_wire.evidence import Forecast
from hypothesis import given
from hypothesis import strategies as st

MIB = float(1 << 20)


@given(
    peaks=st.lists(st.floats(0, 1e12), min_size=1, max_size=50),
    hours=st.floats(0, 1000),
    factor=st.floats(1, 10),
)
def test_size_holds_every_peak_and_grows_with_usage(peaks: list[float], hours: float, factor: float) -> None:
    usage = vertical.Usage(np.array(peaks), hours)
    size = vertical.size(usage)
    assert size.limit >= max(peaks)
    assert vertical.SMALLEST <= size.request <= size.limit
    larger = vertical.size(vertical.Usage(usage.peaks * factor, hours))
    assert larger.limit >= size.limit
    assert vertical.size(replace(usage, hours=hours + 24)).limit <= size.limit


def test_peaks_are_of_spans() -> None:
    times = np.arange(0.0, 180.0, 10.0)
    assert vertical.peaks(times, times).tolist() == [50.0, 110.0, 170.0]


@pytest.mark.parametrize(
    ("now", "usage", "wanted"), [(2, 0.7, 2), (2, 0.76, 2), (2, 1.4, 4), (4, 0.35, 2), (1, 0.1, 1)]
)
def test_replicas_bring_usage_to_the_target(now: int, usage: float, wanted: int) -> None:
    assert horizontal.replicas(now, usage * 512 * MIB, 512 * MIB) == wanted


def test_memory_that_follows_load_is_told_from_memory_that_does_not() -> None:
    rng = np.random.default_rng(1)
    rate = 50 + 40 * np.sin(np.arange(120) / 8)
    noise = rng.standard_normal(120)
    assert horizontal.follow(100 * MIB + rate * MIB + 10 * MIB * noise, rate).follows
    assert not horizontal.follow(100 * MIB + 10 * MIB * noise, rate).follows
    assert not horizontal.follow(100 * MIB + np.arange(120) * MIB, rate).follows
    assert not horizontal.follow(100 * MIB + rate * MIB, np.full(120, 50.0)).follows


def test_two_slow_walks_are_not_taken_for_load() -> None:
    """Unrelated random walks correlate by chance; few may pass."""
    passed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rate = np.maximum(0.1, 50 + np.cumsum(rng.standard_normal(120)) * 5)
        passed += horizontal.follow(np.cumsum(rng.standard_normal(120)), rate).follows
    assert passed <= 20


def loaded(seen: Observations, per_request: float) -> Observations:
    """`seen` with a request rate in waves that memory follows by `per_request` bytes per request/s."""
    series, histograms = [], []
    for rss in seen.series:
        at = rss.times - rss.times[0]
        rate = 60 + 50 * np.sin(at / 150)
        served = np.cumsum(rate * np.gradient(at))
        series.append(replace(rss, values=rss.values + per_request * rate))
        histograms.append(
            Histogram("http.server.request.duration", rss.instance, rss.times, served, served / 50)
        )
    return replace(seen, series=tuple(series), histograms=tuple(histograms))


def test_service_that_fills_its_limit_with_load_gets_replicas(simulation: Any) -> None:
    seen = loaded(simulation.Fleet([], 1800, 2, limit=256 * MIB).observe(), 3 * MIB)
    advice = advise(seen, ())
    assert advice is not None
    assert (advice.action, advice.replicas > 2) == ("scale_out", True)
    assert "follows load" in advice.text
    assert yaml.safe_load(advice.manifest)["spec"]["replicas"] == advice.replicas


def test_service_whose_memory_ignores_load_is_resized_not_multiplied(simulation: Any) -> None:
    seen = loaded(simulation.Fleet([], 1800, 2, limit=90 * MIB).observe(), 0.0)
    advice = advise(seen, ())
    assert advice is not None
    assert (advice.action, advice.replicas) == ("resize", 2)
    assert "Raise the limit from 90 MiB" in advice.text
    assert "doesn't follow load" in advice.text


def test_a_fitting_limit_is_kept(simulation: Any) -> None:
    seen = simulation.Fleet([], 1800, 2, limit=144 * MIB).observe()
    advice = advise(seen, ())
    assert advice is not None
    assert advice.action == "keep"


def test_a_leak_is_restarted_before_its_limit_and_never_scaled(simulation: Any) -> None:
    leak = simulation.Site("remember", simulation.leak(5 * MIB, 2000), 2000)
    seen = loaded(simulation.Fleet([leak], 1800, 2, limit=256 * MIB).observe(), 3 * MIB)
    proved = simulation.report(leak.site, "host-100-1", "Page").evidence
    until = Forecast(100 * MIB, 256 * MIB, 4000.0, 3600.0, None)
    advice = advise(seen, [replace(proved, verdict="leak", forecast=until)])
    assert advice is not None
    assert (advice.action, advice.replicas, advice.manifest) == ("restart", 2, "")
    assert "within 48 min, before its limit" in advice.text


def test_processes_of_one_host_share_its_limit(simulation: Any) -> None:
    seen = simulation.Fleet([], 600, 2, limit=144 * MIB).observe()
    shared = replace(seen, instances=tuple(replace(i, host="pod-1") for i in seen.instances))
    advice = advise(shared, ())
    assert advice is not None
    assert "2 processes per host" in advice.text
    container = yaml.safe_load(advice.manifest)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == quantity(2 * advice.limit)
    assert advice.action == "resize"


def test_a_parent_of_workers_is_no_replica(simulation: Any) -> None:
    seen = loaded(simulation.Fleet([], 1800, 6, limit=768 * MIB).observe(), 3 * MIB)
    pods = tuple(
        replace(one, host=f"pod-{number // 3}", parent=number % 3 == 0)
        for number, one in enumerate(seen.instances)
    )
    advice = advise(replace(seen, instances=pods), ())
    assert advice is not None
    assert advice.action == "scale_out"
    assert yaml.safe_load(advice.manifest)["spec"]["replicas"] == math.ceil(advice.replicas / 2)
    assert math.ceil(advice.replicas / 2) > math.ceil(advice.replicas / 3)


def test_a_moment_of_usage_is_not_enough(simulation: Any) -> None:
    assert advise(simulation.Fleet([], 60).observe(), ()) is None


@pytest.mark.parametrize("service", ["shop", "My_Shop.Web", "true", "42", "-", "y"])
def test_manifest_is_kubernetes_yaml(service: str) -> None:
    manifest = yaml.safe_load(patch(service, 100 * MIB, 200 * MIB + 1, replicas=3))
    name = manifest["metadata"]["name"]
    assert isinstance(name, str)
    assert name == name.lower().strip("-")
    assert manifest["spec"]["replicas"] == 3
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["name"] == name
    assert container["resources"] == {"requests": {"memory": "100Mi"}, "limits": {"memory": "201Mi"}}


def test_peaks_of_nothing_are_none() -> None:
    nothing: FloatArray = np.empty(0)
    assert vertical.peaks(nothing, nothing).size == 0
