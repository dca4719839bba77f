"""The arithmetic of rates, slopes and quantiles, and the bounds of the history."""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from heapwatch_alerts.evaluation import bucket_quantile, divide, increase, slope
from heapwatch_alerts.expressions import (
    Comparison,
    Condition,
    Group,
    Last,
    Matcher,
    Over,
    Ratio,
    Series,
    duration,
)
from heapwatch_alerts.history import History, Points
from heapwatch_alerts.page import PageError, parse, read
from heapwatch_wire.metrics import BY_NAME
from hypothesis import given
from hypothesis import strategies as st

GAUGE = Series(BY_NAME["process.memory.usage"])
COUNTER = Series(BY_NAME["heapwatch.agent.dropped"])


def points(values: list[float], spacing: float = 15.0) -> Points:
    return Points([spacing * (i + 1) for i in range(len(values))], values)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=40))
def test_a_counters_increase_is_never_negative_and_survives_resets(steps: list[int]) -> None:
    total, values = 0.0, []
    for step in steps:
        total = 0.0 if step == 0 else total + step
        values.append(total)
    risen = increase(points(values), 0.0, 15.0 * (len(values) + 1))
    assert risen >= 0
    seen = sum(b - a if b >= a else b for a, b in pairwise(values))
    # At most one spacing is added at each end of the window.
    assert seen * 0.9999 <= risen <= seen * 3.0001


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.integers(2, 50))
def test_the_slope_of_a_line_is_its_slope(start: float, per_second: float, count: int) -> None:
    line = points([start + per_second * 15.0 * i for i in range(count)])
    assert slope(line) == pytest.approx(per_second, rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(0, 100), min_size=3, max_size=12), st.floats(0.01, 0.99))
def test_a_quantile_lies_in_a_bucket_that_holds_it(counts: list[float], q: float) -> None:
    bounds = [0.1 * (i + 1) for i in range(len(counts) - 1)] + [math.inf]
    cumulative, total = [], 0.0
    for count in counts:
        total += count
        cumulative.append(total)
    found = bucket_quantile(q, list(zip(bounds, cumulative, strict=True)))
    if total == 0:
        assert math.isnan(found)
        return
    below = max((c for b, c in zip(bounds, cumulative, strict=True) if b < found), default=0.0)
    assert below <= q * total * (1 + 1e-9)
    assert 0 <= found <= bounds[-2]


def test_a_histogram_without_an_infinite_bucket_has_no_quantile() -> None:
    assert math.isnan(bucket_quantile(0.5, [(0.1, 3.0), (0.2, 4.0)]))


@pytest.mark.parametrize(
    ("left", "right", "result"), [(1, 0, math.inf), (-1, 0, -math.inf), (0, 0, math.nan), (1, 4, 0.25)]
)
def test_division_is_that_of_ieee_754(left: float, right: float, result: float) -> None:
    assert divide(left, right) == pytest.approx(result, nan_ok=True)


def test_a_history_keeps_what_rules_look_back_at_and_no_more() -> None:
    history = History([(GAUGE, 0), (COUNTER, 60)])
    for second in range(0, 1000, 10):
        page = [(GAUGE.name, {}, float(second)), (COUNTER.name, {}, float(second)), ("other", {}, 1.0)]
        history.record(float(second), page)
    assert history.last(GAUGE) == {(): 990.0}
    (kept,) = history.window(COUNTER, 990.0, 3600).values()
    assert list(kept.times) == [940.0, 950.0, 960.0, 970.0, 980.0, 990.0]


def test_a_page_with_exploding_labels_is_bounded_and_counted() -> None:
    history = History([(GAUGE, 0)], limit=100)
    history.record(0.0, [(GAUGE.name, {"instance": str(i)}, 1.0) for i in range(250)])
    assert len(history.last(GAUGE)) == 100
    assert history.refused == 150
    history.record(15.0, [(GAUGE.name, {"instance": "new"}, 1.0)])
    assert history.last(GAUGE) == {(("instance", "new"),): 1.0}


def test_only_what_a_rule_asks_for_is_kept() -> None:
    series = Series(GAUGE.metric, (Matcher("service", "=", "shop"),))
    history = History([(series, 0)])
    history.record(0.0, [(GAUGE.name, {"service": name}, 1.0) for name in ("shop", "bank")])
    assert history.last(GAUGE) == {(("service", "shop"),): 1.0}


def test_an_absent_label_equals_the_empty_one() -> None:
    history = History([(GAUGE, 0)])
    history.record(0.0, [(GAUGE.name, {"service": "shop", "version": ""}, 1.0)])
    series = Series(GAUGE.metric, (Matcher("version", "=", ""), Matcher("service", "=~", "sh.*")))
    assert history.last(series) == {(("service", "shop"),): 1.0}


def test_expressions_that_prometheus_could_not_match_are_refused() -> None:
    one, other = Group("max", ("service",), Last(GAUGE)), Group("max", ("instance",), Last(GAUGE))
    with pytest.raises(ValueError, match="equal groups"):
        Ratio(one, other)
    with pytest.raises(ValueError, match="equal groups"):
        Condition(Comparison(one, ">", 1.0), (Comparison(other, ">", 1.0),))


def test_promql_is_written_as_people_write_it() -> None:
    rate = Over("rate", Series(COUNTER.metric, (Matcher("heapwatch_reason", "=", 'a"b\\c'),)), 300)
    assert rate.promql() == 'rate(heapwatch_agent_dropped_total{heapwatch_reason="a\\"b\\\\c"}[5m])'
    assert [duration(s) for s in (90, 600, 7200, 86400)] == ["90s", "10m", "2h", "1d"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError, KeyError, IndexError):
        list(parse(text))


@pytest.mark.integration
@pytest.mark.parametrize("page", ["\x00", "<html>", 'a{b="c} 1', "a one\n"])
def test_a_broken_page_is_an_error_that_names_the_address(page: str, receiver: Any) -> None:
    receiver.page = page
    with pytest.raises(PageError, match=receiver.url):
        read(receiver.url, "")


@pytest.mark.integration
def test_a_refused_reading_is_an_error(receiver: Any) -> None:
    receiver.status = 401
    with pytest.raises(PageError, match="401"):
        read(receiver.url, "")
