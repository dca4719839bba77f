"""Anomalies: silent on usual behaviour, loud on strange, and the metric that did it is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from heapwatch_analyzer.anomalies import Detector, anomalies
from heapwatch_analyzer.anomalies.detector import LEAST_ROWS, exceeded_once
from heapwatch_analyzer.observations import FloatArray, Observations, Series
from hypothesis import given
from hypothesis import strategies as st


def machine(seed: int, rows: int = 600) -> FloatArray:
    """Five metrics of which four follow one load."""
    rng = np.random.default_rng(seed)
    load = 1 + 0.5 * np.sin(np.arange(rows) / 40)
    own = rng.standard_normal((rows, 5)) * 0.05
    return own + np.column_stack([load, 2 * load, -load, 0.5 * load, np.ones(rows)])


def test_usual_rows_are_seldom_strange() -> None:
    detector = Detector.fit([machine(1)], risk=1e-3)
    scores = detector.parts(machine(2)).sum(axis=1)
    assert (scores > detector.threshold).mean() < 0.01


@pytest.mark.parametrize("metric", range(5))
def test_a_metric_that_leaves_the_others_is_found_and_named(metric: int) -> None:
    strange = machine(3)
    strange[400:420, metric] += 1.0
    detector = Detector.fit([machine(1)], risk=1e-3)
    parts = detector.parts(strange)
    assert (parts[400:420].sum(axis=1) > detector.threshold).all()
    assert np.argmax(parts[400:420].sum(axis=0)) == metric


def test_several_instances_are_one_experience() -> None:
    detector = Detector.fit([machine(1, 100), machine(2, 100)], risk=1e-3)
    assert detector.parts(machine(4, 50)).shape == (50, 5)


@given(seed=st.integers(0, 10_000), risk=st.sampled_from([0.01, 0.003, 0.001]))
def test_threshold_is_exceeded_about_as_seldom_as_asked(seed: int, risk: float) -> None:
    rng = np.random.default_rng(seed)
    threshold = exceeded_once(rng.exponential(1.0, 4000), risk)
    # The true answer for an exponential is -log(risk).
    assert threshold == pytest.approx(-np.log(risk), rel=0.4)


def test_constant_scores_have_a_threshold_above_them() -> None:
    assert exceeded_once(np.zeros(100), 1e-3) > 0
    assert exceeded_once(np.full(100, 3.0), 1e-3) >= 3.0


def test_constant_metrics_do_not_divide_by_nothing() -> None:
    detector = Detector.fit([np.ones((200, 3))], risk=1e-3)
    assert np.isfinite(detector.parts(np.ones((10, 3)))).all()


def spiked(seen: Observations, name: str, instance: str, factor: float, newest: int = 20) -> Observations:
    """`seen` with the newest points of a series multiplied."""

    def change(s: Series) -> Series:
        if (s.name, s.instance) != (name, instance):
            return s
        return replace(s, values=np.concatenate([s.values[:-newest], s.values[-newest:] * factor]))

    return replace(seen, series=tuple(map(change, seen.series)))


@pytest.fixture(scope="module")
def usual(simulation: Any) -> Observations:
    seen: Observations = simulation.Fleet([], 3600, 2, seed=9).observe()
    rng = np.random.default_rng(5)
    extra = [
        Series(
            name,
            i.id,
            seen.series[0].times,
            level + 0.05 * level * rng.standard_normal(seen.series[0].times.size),
        )
        for i in seen.instances
        for name, level in (("heapwatch.memory.fragmentation", 0.2), ("process.thread.count", 8.0))
    ]
    return replace(seen, series=(*seen.series, *extra))


def test_usual_instances_have_no_anomaly(usual: Observations) -> None:
    assert anomalies(usual, 30.0) == []


@pytest.mark.parametrize(
    "name", ["process.memory.usage", "heapwatch.memory.fragmentation", "process.thread.count"]
)
def test_strange_instance_is_named_with_the_metric(usual: Observations, name: str) -> None:
    strange = usual.instances[1].id
    (found,) = anomalies(spiked(usual, name, strange, 2.0), 30.0)
    assert found.instance == strange
    assert 0.5 < found.score < 1
    top = {c.name for c in found.causes[:2]}
    assert name in top or (name == "process.memory.usage" and "heapwatch.memory.growth" in top)
    assert found.causes[0].name in found.text
    assert usual.time - found.time < 120


def test_short_history_says_nothing(simulation: Any) -> None:
    seen = simulation.Fleet([], 15.0 * LEAST_ROWS / 4, 2).observe()
    assert anomalies(spiked(seen, "process.memory.usage", seen.instances[0].id, 3.0), 0.0) == []
