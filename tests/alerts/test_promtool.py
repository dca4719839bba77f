"""The rendered rules and the embedded evaluation mean the same: promtool judges both on equal data.

Samples are taken off the beat of the evaluations, so that no sample lies exactly on the end of a
window: whether that end is included differs between Prometheus 2 and 3.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml
from heapwatch_alerts.delivery import annotated
from heapwatch_alerts.evaluation import evaluate
from heapwatch_alerts.history import History
from heapwatch_alerts.links import Links
from heapwatch_alerts.prometheus import alertmanager_document, rules_document, scrape_document
from heapwatch_alerts.rules import RULES, UP
from heapwatch_alerts.states import States
from heapwatch_wire.metric import Metric
from heapwatch_wire.metrics import METRICS

SAMPLING = 14.999
EVALUATION = 15
LINKS = Links("https://books.example/runbooks", "https://memory.example")

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed"
)


def samples(world: Sequence[Any], minutes: int) -> list[list[float | None]]:
    """Values of each line of `world` at each sampling; the one at 0 is left out."""
    count = int(minutes * 60 / SAMPLING) + 2
    return [[None, *(line.at(i * SAMPLING) for i in range(1, count))] for line in world]


def notation(values: Sequence[float | None]) -> str:
    """promtool's: `_` is no sample, `stale` the end of a series."""
    before = [None, *values]
    ended = [v is None and b is not None for v, b in zip(values, before, strict=False)]
    return " ".join(
        "stale" if e else "_" if v is None else repr(v) for v, e in zip(values, ended, strict=True)
    )


def selector(line: Any) -> str:
    labels = ",".join(f'{k}="{v}"' for k, v in line.labels.items())
    return f"{line.name}{{{labels}}}"


class Replay:
    """The embedded evaluation of a world; remembers what fires at each full minute."""

    def __init__(self, world: Sequence[Any], minutes: int) -> None:
        self.world, self.values = world, samples(world, minutes)
        self.history = History(s for rule in RULES for s in rule.condition.selections())
        self.firing: dict[int, list[dict[str, Any]]] = {}
        self._taken = 0
        states = States()
        for now in range(0, minutes * 60 + 1, EVALUATION):
            self.take_until(now)
            states.evaluate(self.history, now)
            if now % 60 == 0:
                self.firing[now // 60] = [as_expected(alert) for alert in states.firing]

    def take_until(self, now: float) -> None:
        while self._taken * SAMPLING <= now:
            column = [values[self._taken] for values in self.values]
            page = [(w.name, w.labels, v) for w, v in zip(self.world, column, strict=True) if v is not None]
            self.history.record(self._taken * SAMPLING, page)
            self._taken += 1


def as_expected(alert: Any) -> dict[str, Any]:
    labels = {k: v for k, v in alert.labels.items() if k != "alertname"}
    return {"alert": alert.rule.alert, "labels": labels, "annotations": annotated(alert, LINKS)}


def unit_test(replay: Replay) -> dict[str, Any]:
    """A promtool unit test that expects what the embedded evaluation found, by rule and minute."""
    series = [
        {"series": selector(line), "values": notation(values)}
        for line, values in zip(replay.world, replay.values, strict=True)
    ]
    expectations = [
        {
            "eval_time": f"{minute}m",
            "alertname": rule.alert,
            "exp_alerts": [
                {"exp_labels": row["labels"], "exp_annotations": row["annotations"]}
                for row in firing
                if row["alert"] == rule.alert
            ],
        }
        for minute, firing in replay.firing.items()
        for rule in RULES
    ]
    return {"interval": f"{SAMPLING * 1000:.0f}ms", "input_series": series, "alert_rule_test": expectations}


@pytest.fixture
def promtool(tmp_path: Path) -> Callable[[Sequence[dict[str, Any]]], None]:
    """Runs unit tests with the rendered rules; fails with promtool's words."""

    def check(tests: Sequence[dict[str, Any]]) -> None:
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules_document(LINKS)))
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{EVALUATION}s",
            "tests": list(tests),
        }
        (tmp_path / "tests.yml").write_text(json.dumps(document))
        done = subprocess.run(
            ["promtool", "test", "rules", "tests.yml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[:4000]

    return check


def told_apart(cases: Any, which: str) -> list[Any]:
    """The worlds of all cases as one, each as a service of the rule's name."""
    lines = ((name, line) for name, case in cases.items() for line in getattr(case, which))
    return [
        replace(line, labels={**line.labels, "service": name}) if "service" in line.labels else line
        for name, line in lines
    ]


def test_each_rule_fires_and_keeps_quiet_alike(cases: Any, promtool: Any) -> None:
    longest = max(case.minutes for case in cases.values())
    fires, quiet = (Replay(told_apart(cases, which), longest) for which in ("firing", "quiet"))
    rows = [row for firing in fires.firing.values() for row in firing]
    by_service = {(row["alert"], row["labels"].get("service", "CollectorDown")) for row in rows}
    assert {(rule.alert, rule.name) for rule in RULES} <= by_service
    wrongly = [row for firing in quiet.firing.values() for row in firing]
    assert all(row["alert"] != f"Heapwatch{row['labels'].get('service')}" for row in wrongly)
    promtool([unit_test(fires), unit_test(quiet)])


def wandering(rng: random.Random, low: float, high: float) -> Callable[[float], float | None]:
    """A gauge between `low` and `high` that jumps now and then and is sometimes gone for minutes."""
    level = rng.uniform(low, high)
    gone = 0

    def at(_: float) -> float | None:
        nonlocal level, gone
        gone = rng.randrange(1, 40) if rng.random() < 0.005 else max(0, gone - 1)
        if rng.random() < 0.02:
            level = rng.uniform(low, high)
        return None if gone else level + rng.uniform(-0.01, 0.01) * (high - low)

    return at


def counting(rng: random.Random, most: int) -> Callable[[float], float]:
    """A counter with quiet times, bursts and resets."""
    total, speed = 0, 0

    def at(_: float) -> float:
        nonlocal total, speed
        if rng.random() < 0.02:
            speed = rng.choice((0, 0, 1, most))
        total = 0 if rng.random() < 0.004 else total + rng.randint(0, speed)
        return float(total)

    return at


class Cumulative:
    """A histogram whose observations wander from bucket to bucket."""

    def __init__(self, rng: random.Random, buckets: int) -> None:
        self._rng, self._counts, self._centre = rng, [0.0] * buckets, rng.randrange(buckets)
        self._at: dict[float, list[float]] = {}

    def up_to(self, index: int) -> Callable[[float], float]:
        return lambda now: self._cumulated(now)[index]

    def _cumulated(self, now: float) -> list[float]:
        """Counts at `now`; times are asked in rising order the first time, and remembered."""
        if now not in self._at:
            self._observe()
            self._at[now] = list(accumulate(self._counts))
        return self._at[now]

    def _observe(self) -> None:
        last = len(self._counts) - 1
        if self._rng.random() < 0.05:
            self._centre = self._rng.randint(0, last)
        for _ in range(self._rng.choice((0, 1, 9))):
            index = self._centre + self._rng.choice((-1, 0, 0, 1))
            # Uneven weights, so that no quantile lies halfway between two roundings of its text.
            self._counts[min(max(index, 0), last)] += self._rng.uniform(0.5, 1.5)


RANGES = {
    "container.memory.working_set": (6e8, 9.5e8),
    "heapwatch.container.memory.limit": (9e8, 1.1e9),
    "heapwatch.memory.limit_eta": (1000, 40000),
    "process.uptime": (2000, 9000),
    "process.memory.usage": (2e8, 5e8),
    "heapwatch.leak.growth": (-10, 100),
    "up": (0, 1),
    "heapwatch.sampler.displaced": (-1, 1),
    "heapwatch.defence.state": (0, 3),
}


def attributes_of(metric: Metric, rng: random.Random) -> dict[str, str]:
    values = {
        "heapwatch.event": ("oom_kill", "high"),
        "heapwatch.defence.mode": ("act", "observe"),
        "heapwatch.action": ("drain", "stop"),
        "heapwatch.reason": ("all", "leaving"),
        "http.request.method": ("GET", "POST"),
        "http.route": ("/feed", "/new"),
        "http.response.status_code": ("200", "500"),
        "app.cache.result": ("hit", "miss"),
    }
    names = metric.attributes
    return {name.replace(".", "_"): rng.choice(values.get(name, ("a", "b"))) for name in names}


def random_series(metric: Metric, rng: random.Random, labels: dict[str, str], line: Any) -> list[Any]:
    if metric.instrument == "histogram":
        bounds = [*metric.buckets, math.inf]
        histogram = Cumulative(rng, len(bounds))
        les = [("+Inf" if b == math.inf else f"{b:g}") for b in bounds]
        found = [
            line(metric.prometheus + "_bucket", {**labels, "le": le}, histogram.up_to(i))
            for i, le in enumerate(les)
        ]
        return [*found, line(metric.prometheus + "_count", labels, histogram.up_to(len(bounds) - 1))]
    if metric.instrument == "counter":
        return [line(metric.prometheus, labels, counting(rng, 9))]
    return [line(metric.prometheus, labels, wandering(rng, *RANGES.get(metric.name, (0, 1))))]


def random_world(seed: int, line: Any) -> list[Any]:
    """Every metric that a rule reads, for two instances of a service and two sets of attributes."""
    rng = random.Random(seed)
    read = {series.metric.name for rule in RULES for series, _ in rule.condition.selections()}
    world: dict[str, Any] = {}
    for metric in (*METRICS, UP):
        for instance in ("a", "b") if metric.name in read else ():
            labels = {"service": "shop", "version": "1", "instance": instance, "job": "heapwatch"}
            for _ in range(2):
                for made in random_series(metric, rng, {**labels, **attributes_of(metric, rng)}, line):
                    world.setdefault(selector(made), made)
    return list(world.values())


def test_random_data_mean_the_same(promtool: Any, line: Any) -> None:
    replay = Replay(random_world(1, line), 80)
    alerts = {row["alert"] for firing in replay.firing.values() for row in firing}
    assert len(alerts) > len(RULES) / 2, f"the data make too few rules fire to say anything: {alerts}"
    promtool([unit_test(replay)])


def test_values_are_equal_not_only_verdicts(line: Any, promtool: Any) -> None:
    replay = Replay(random_world(2, line), 70)
    now = 70 * 60
    checks = []
    for comparison in {c.of.promql(): c for rule in RULES for c in rule.condition.comparisons}.values():
        for labels, value in evaluate(comparison.of, replay.history, now).items():
            if math.isfinite(value):
                checks.append((comparison.of.promql(), dict(labels), value))
    assert len(checks) > 30
    expressions: dict[str, list[dict[str, Any]]] = {}
    for promql, labels, value in checks:
        close = {"labels": "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}", "value": value}
        expressions.setdefault(promql, []).append(close)
    unit = unit_test(replay)
    del unit["alert_rule_test"]
    unit["promql_expr_test"] = [
        {"expr": f"round({promql}, 0.0001)", "eval_time": "70m", "exp_samples": rounded(rows)}
        for promql, rows in expressions.items()
    ]
    promtool([unit])


def rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As PromQL's round(x, 0.0001) does it: to the nearest ten-thousandth, halves up."""
    return [{**row, "value": math.floor(row["value"] * 10_000 + 0.5) / 10_000} for row in rows]


def test_the_other_files_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules_document(LINKS)))
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump(scrape_document("127.0.0.1:4040", "secret", "rules.yml", "127.0.0.1:9093"))
    )
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_document("http://127.0.0.1:1/")))
    subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, check=True, capture_output=True
    )
    if shutil.which("amtool") is None:
        pytest.skip("amtool (Alertmanager) is not installed")
    for labels, receiver in (
        (["severity=critical"], "on-call"),
        (["severity=warning"], "team"),
        (["severity=info"], "nobody"),
    ):
        found = subprocess.run(
            ["amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels],
            cwd=tmp_path, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert found.stdout.strip() == receiver
