"""The growth test: leaks are found in time, what only looks like one is not called one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from heapwatch_wire.growth import THRESHOLDS, Finding, Series, discoveries, judge
from hypothesis import given
from hypothesis import strategies as st

R = 65536.0
MIB = float(1 << 20)
Points = list[tuple[float, float, float]]

seeds = st.integers(0, 10_000)


def sampled(
    level: Callable[[float], float],
    seconds: float,
    rng: random.Random,
    push: float = 2.0,
    life: float = math.inf,
    busy: float = 0.0,
) -> Points:
    """`level`, true bytes over time, as a sampler with interval R reports it. Blocks of 200 bytes live
    `life` seconds on average; requests in flight add `busy` bytes on average."""
    stay, count, before, points = math.exp(-push / life), 0, 0.0, []
    for i in range(int(seconds / push)):
        now = level(i * push) / R
        chance = min(stay, now / before) if before > 0 else stay
        count = sum(rng.random() < chance for _ in range(count)) + poisson(now - before * chance, rng)
        before = now
        seen = (count + poisson(busy / R, rng)) * R
        points.append((1e9 + i * push, seen, seen / 200))
    return points


def poisson(mean: float, rng: random.Random) -> int:
    count, passed = -1, 0.0
    while passed <= max(0.0, mean):
        passed += rng.expovariate(1.0)
        count += 1
    return count


def decide(*instances: Points) -> Finding:
    return judge([Series(points, R) for points in instances])


def shape(name: str, size: float = 8 * MIB) -> Callable[[float], float]:
    shapes: dict[str, Callable[[float], float]] = {
        "level": lambda t: size,
        "cache that fills": lambda t: size * -math.expm1(-t / 40),
        "ramp, then full": lambda t: size * min(1.0, t / 60),
        "long-tailed keys": lambda t: size / 5 * math.log1p(t),
        "one step": lambda t: size * (1 + (t > 150)),
        "steps of resizing": lambda t: size / 8 * 2.0 ** sum(t > m for m in (40, 80, 160)),
        "collected every 20 s": lambda t: size / 4 + size * (t % 20) / 20,
        "collected every 45 s": lambda t: size / 4 + size * (t % 45) / 45,
        "shrinking": lambda t: size * max(0.0, 1 - t / 500),
    }
    return shapes[name]


NOT_LEAKS = (
    "level",
    "cache that fills",
    "ramp, then full",
    "long-tailed keys",
    "one step",
    "steps of resizing",
    "collected every 20 s",
    "collected every 45 s",
    "shrinking",
)


@pytest.mark.parametrize("name", NOT_LEAKS)
@pytest.mark.parametrize("seconds", [240, 600])
def test_what_does_not_leak_is_not_called_a_leak(name: str, seconds: float) -> None:
    rng = random.Random(1)
    called = sum(
        decide(*(sampled(shape(name), seconds, rng) for _ in range(2))).decision == "leak" for _ in range(20)
    )
    assert called <= 1


@pytest.mark.parametrize("life", [3.0, 60.0, 1000.0])
def test_turnover_at_a_constant_level_is_not_a_leak(life: float) -> None:
    rng = random.Random(2)
    for _ in range(30):
        points = sampled(lambda t: 20 * MIB, 400, rng, push=5, life=life, busy=2 * MIB)
        assert decide(points).decision in ("stable", "suspicion")


@pytest.mark.parametrize(("rate", "push", "within"), [(6, 2, 120), (6, 5, 120), (3, 2, 200), (1, 2, 420)])
def test_a_steady_leak_is_found_in_time(rate: float, push: float, within: float) -> None:
    """`rate` MiB a minute over two workers, found `within` seconds of their start, warm-up included: at 3 a
    leak looks for three minutes like a cache that fills."""
    rng = random.Random(3)
    found = sum(
        decide(
            *(sampled(lambda t: rate / 2 * MIB / 60 * t, within, rng, push, busy=MIB / 20) for _ in range(2))
        ).decision
        == "leak"
        for _ in range(25)
    )
    assert found >= 20


def test_a_leak_that_begins_late_is_found() -> None:
    rng = random.Random(4)
    points = [
        sampled(lambda t: 5 * MIB + max(0.0, t - 200) * MIB / 40, 320, rng, life=math.inf) for _ in range(2)
    ]
    assert decide(*points).decision == "leak"


def test_the_rate_of_a_leak_that_began_late_is_not_diluted() -> None:
    rng = random.Random(17)
    told = []
    for _ in range(20):
        points = sampled(lambda t: 5 * MIB + max(0.0, t - 300) * MIB / 20, 480, rng)
        growth = decide(points).growth
        assert growth is not None
        told.append(growth.bytes_per_second)
    assert sorted(told)[10] == pytest.approx(MIB / 20, rel=0.15)


def test_a_leak_after_a_burst_at_start_is_found() -> None:
    rng = random.Random(18)
    found = sum(
        decide(sampled(lambda t: 8 * MIB * -math.expm1(-t / 6) + t * MIB / 20, 600, rng)).decision == "leak"
        for _ in range(10)
    )
    assert found >= 9


def test_the_younger_the_process_the_more_evidence_is_asked() -> None:
    """What grows in a young process may be a cache that fills."""
    points = sampled(lambda t: t * MIB / 40, 200, random.Random(19))
    young = judge([Series(points, R, points[0][0])])
    old = judge([Series(points, R, points[0][0] - 3600)])
    assert young.statistics["saturation"] > old.statistics["saturation"]
    assert old.decision == "leak"


def findings(*chances: float) -> list[Finding]:
    return [Finding("leak", statistics={"p": p}) for p in chances]


def test_among_many_sites_a_leak_needs_more() -> None:
    chances = (1e-9, 1e-4)
    few = discoveries(findings(*chances), sites=200)
    assert [f.decision for f in few] == ["leak", "leak"]
    many = discoveries(findings(*chances), sites=5000)
    assert [f.decision for f in many] == ["leak", "suspicion"]


def test_many_leaks_make_each_likelier() -> None:
    """The example of Benjamini and Hochberg (1995): of 15 hypotheses the first 4 are rejected."""
    published = (
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
        0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
    )  # fmt: skip
    kept = discoveries(findings(*published), sites=15)
    assert [f.decision for f in kept] == ["leak"] * 4 + ["suspicion"] * 11


def test_what_is_no_leak_stays_what_it_is() -> None:
    others = [Finding("stable"), Finding("learning"), Finding("suspicion", statistics={"p": 0.9})]
    assert discoveries(others, sites=10) == others


def test_a_leak_after_a_cache_has_filled_is_found() -> None:
    rng = random.Random(5)
    points = sampled(lambda t: 4 * MIB * -math.expm1(-t / 10) + t * MIB / 20, 400, rng)
    assert decide(points).decision == "leak"


def test_the_rate_and_its_interval_cover_the_truth() -> None:
    rng = random.Random(6)
    true = 2 * MIB / 60
    covered = 0
    for _ in range(40):
        growth = decide(*(sampled(lambda t: true * t, 300, rng) for _ in range(2))).growth
        assert growth is not None
        covered += growth.low <= 2 * true <= growth.high
    assert covered >= 34  # 95% of 40 are 38; four standard deviations less are 33.


def test_objects_are_counted_as_bytes_are() -> None:
    growth = decide(sampled(lambda t: t * MIB / 20, 300, random.Random(7))).growth
    assert growth is not None
    assert growth.objects_per_second == pytest.approx(growth.bytes_per_second / 200, rel=0.05)


def test_instances_that_prove_little_alone_prove_a_leak_together() -> None:
    rng = random.Random(8)
    instances = [sampled(lambda t: t * MIB / 240, 160, rng) for _ in range(8)]
    assert sum(decide(points).decision == "leak" for points in instances) < 8
    together = decide(*instances)
    assert together.decision == "leak"
    assert together.instances == 8


def test_one_leaking_instance_is_not_hidden_by_the_others() -> None:
    rng = random.Random(9)
    busy = [sampled(shape("level", 50 * MIB), 300, rng, push=5, life=20) for _ in range(3)]
    findings = [decide(sampled(lambda t: t * MIB / 20, 300, rng), *busy) for _ in range(10)]
    found = [finding for finding in findings if finding.decision == "leak"]
    assert len(found) >= 8
    assert all(1 <= finding.growing <= 2 for finding in found)


def test_the_rate_is_that_of_instances_that_still_report() -> None:
    rng = random.Random(10)
    rate = 2 * MIB / 60
    gone = [(t - 1000, b, n) for t, b, n in sampled(lambda t: t * rate, 300, rng)]
    here = sampled(lambda t: t * rate, 300, rng)
    growth = decide(gone, here).growth
    assert growth is not None
    assert growth.bytes_per_second == pytest.approx(rate, rel=0.4)


def test_growth_with_load_is_not_a_leak_when_the_load_is_known() -> None:
    """Ten in-flight kilobytes for each request a second; the load ramps up and on."""
    rng = random.Random(11)
    called_blind = called_seeing = 0
    for _ in range(10):
        rate = {float(t): 20 + 80 * min(1.0, t / 250) for t in range(0, 300, 5)}
        points = sampled(lambda t, r=rate: 200e3 * r[t // 5 * 5], 300, rng, push=5, life=5)
        load = [(1e9 + t, r + rng.gauss(0, 2)) for t, r in rate.items()]
        called_blind += judge([Series(points, R)]).decision == "leak"
        called_seeing += judge([Series(points, R, load=load)]).decision == "leak"
    assert called_seeing == 0
    assert called_blind > 0, "the load would not have fooled the test, so this proves nothing"


def test_a_leak_under_varying_load_is_found_when_the_load_is_known() -> None:
    rng = random.Random(12)
    points = sampled(lambda t: t * MIB / 20 + 2e4 * (50 + 20 * math.sin(t / 15)), 300, rng)
    load = [(1e9 + t, 50 + 20 * math.sin(t / 15)) for t in range(0, 300, 2)]
    assert judge([Series(points, R, load=load)]).decision == "leak"


def test_warm_up_is_not_judged() -> None:
    rng = random.Random(13)
    points = sampled(lambda t: MIB * min(t, 30), 140, rng)
    assert decide(points).decision == "stable"
    started_earlier = judge([Series(points, R, start=1e9 - 100)])
    assert started_earlier.statistics["span"] > decide(points).statistics["span"]


@pytest.mark.parametrize("points", [[], [(1e9, 1.0, 1.0)], [(1e9 + i, 0.0, 0.0) for i in range(40)]])
def test_too_little_to_judge_is_learning(points: Points) -> None:
    finding = decide(points)
    assert finding.decision == "learning"
    assert finding.growth is None
    assert "12 pushes over 75 s" in finding.reasons[0]


def test_a_site_without_samples_is_stable() -> None:
    assert decide([(1e9 + 5 * i, 0.0, 0.0) for i in range(60)]).decision == "stable"


def test_the_finding_says_what_decided() -> None:
    finding = decide(sampled(lambda t: t * MIB / 20, 300, random.Random(14)))
    assert finding.statistics["z"] >= finding.thresholds["leak_z"]
    assert finding.statistics["samples"] >= finding.thresholds["samples"]
    assert any("standard errors above zero" in reason for reason in finding.reasons)
    assert any("grows like a line" in reason for reason in finding.reasons)


def test_a_container_that_doubles_makes_few_steps() -> None:
    """However many bytes: that its storage grows is no proof, what is put in it may be."""
    rng = random.Random(16)
    points = [sampled(shape("steps of resizing", 80 * MIB), 170, rng) for _ in range(3)]
    finding = decide(*points)
    assert finding.decision != "leak"
    assert finding.statistics["events"] < finding.thresholds["events"]


def test_thresholds_decide() -> None:
    points = sampled(lambda t: t * MIB / 20, 300, random.Random(15))
    strict = replace(THRESHOLDS, leak_z=1e3)
    assert judge([Series(points, R)], strict).decision == "suspicion"


def test_blocks_larger_than_the_interval_count_as_what_they_are() -> None:
    """Three buffers of 4 MiB are three events, however few bytes lie between samples."""
    points = [(1e9 + 2 * i, 4 * MIB * (i // 30), i // 30) for i in range(120)]
    finding = decide(points)
    assert finding.decision != "leak"
    assert finding.statistics["samples"] < 10


@given(seed=seeds, scale=st.floats(1e-3, 1e3), leak=st.booleans())
def test_scaling_bytes_and_interval_changes_nothing(seed: int, scale: float, leak: bool) -> None:
    points = sampled(lambda t: MIB + t * MIB / 20 * leak, 200, random.Random(seed), push=5)
    scaled = [(t, b * scale, n) for t, b, n in points]
    before, after = decide(points), judge([Series(scaled, R * scale)])
    assert after.decision == before.decision
    assert after.statistics["z"] == pytest.approx(before.statistics["z"], rel=1e-6, abs=1e-6)


@given(seed=seeds, shift=st.floats(-1e8, 1e8), leak=st.booleans())
def test_the_time_of_day_changes_nothing(seed: int, shift: float, leak: bool) -> None:
    points = sampled(lambda t: MIB + t * MIB / 20 * leak, 200, random.Random(seed), push=5)
    moved = [(t + round(shift), b, n) for t, b, n in points]
    assert decide(moved).decision == decide(points).decision


@given(seed=seeds, unit=st.sampled_from([0.25, 0.5, 2.0, 8.0]), leak=st.booleans())
def test_the_unit_of_time_changes_nothing(seed: int, unit: float, leak: bool) -> None:
    points = sampled(lambda t: MIB + t * MIB / 20 * leak, 200, random.Random(seed), push=5)
    slower = [((t - 1e9) * unit, b, n) for t, b, n in points]
    thresholds = replace(THRESHOLDS, warmup=30 * unit, span=75 * unit, maturity=THRESHOLDS.maturity * unit)
    before = judge([Series([(t - 1e9, b, n) for t, b, n in points], R)])
    after = judge([Series(slower, R)], thresholds)
    assert after.statistics["z"] == pytest.approx(before.statistics["z"], rel=1e-3, abs=1e-3)


@given(seed=seeds)
def test_the_order_of_instances_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    instances = [sampled(lambda t: t * MIB / 60, 200, rng, push=5) for _ in range(3)]
    assert decide(*instances).decision == decide(*reversed(instances)).decision


@given(
    values=st.lists(st.floats(0, 1e12), min_size=2, max_size=80),
    gaps=st.floats(0.1, 60),
    interval=st.floats(1, 1e8),
    size=st.floats(1, 1e9),
)
def test_no_series_of_numbers_breaks_it(
    values: list[float], gaps: float, interval: float, size: float
) -> None:
    points = [(1e9 + i * gaps, v, v / size) for i, v in enumerate(values)]
    finding = judge([Series(points, interval)])
    assert finding.decision in ("leak", "suspicion", "stable", "learning")
    if finding.growth is not None:
        assert finding.growth.low <= finding.growth.bytes_per_second <= finding.growth.high
        assert all(math.isfinite(v) for v in finding.statistics.values())


@given(values=st.lists(st.floats(0, 1e9), min_size=20, max_size=60))
def test_what_ends_at_or_below_its_start_is_no_leak(values: list[float]) -> None:
    points = [(1e9 + 5 * i, v, v / 100) for i, v in enumerate([*values, *reversed(values)])]
    assert decide(points).decision != "leak"
