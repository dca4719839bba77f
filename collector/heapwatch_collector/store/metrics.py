"""Queries on metrics: the points of a service's series, raw or one per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from heapwatch_collector.errors import MOST_POINTS, TooManyPoints
from heapwatch_collector.store.conditions import Conditions
from heapwatch_collector.store.engine import Store


@dataclass
class MetricSeries:
    """A series. `points` are (Unix ms, value, count, counts per bucket), in time order."""

    name: str
    kind: str
    version: str
    instance: str
    attributes: dict[str, str]
    bounds: list[float]
    points: list[tuple[int, float, int, list[int]]] = field(default_factory=list)


def metric_series(
    store: Store,
    service: str,
    *,
    names: Sequence[str] = (),
    instances: Sequence[str] = (),
    start: int,
    end: int,
    step: int = 0,
) -> list[MetricSeries]:
    """The series of `service` with points in [start, end] (Unix ms); no names or instances means all.

    With a `step` (ms) there is one point per step, at its begin: a gauge's mean, the last of a counter or
    histogram. Raises TooManyPoints.
    """
    conditions = Conditions()
    conditions.equals("service", service)
    if names:
        conditions.add(f"name IN {conditions.bind(list(names), 'Array(String)')}")
    owners = conditions.beside()
    owners.add(conditions.text)
    owners.add("signal = 'metric'")
    if instances:
        owners.add(f"instance IN {owners.bind(list(instances), 'Array(String)')}")
    found = store.rows(
        "SELECT id, name, kind, version, instance, labels, bounds "
        f"FROM series {owners.where} ORDER BY name, instance, id LIMIT 1 BY id",
        conditions.parameters,
    )
    series = {row[0]: MetricSeries(*row[1:]) for row in found}
    points = conditions.beside()
    points.add(conditions.text)
    points.during(start, end)
    if instances:
        points.add(f"series IN (SELECT id FROM series {owners.where})")
    rows = store.rows(f"{_points(points, step)} LIMIT {MOST_POINTS + 1}", conditions.parameters)
    if len(rows) > MOST_POINTS:
        raise TooManyPoints
    for number, *point in rows:
        if number in series:
            series[number].points.append(tuple(point))
    return [s for s in series.values() if s.points]


def _points(conditions: Conditions, step: int) -> str:
    if not step:
        return (
            "SELECT series, toUnixTimestamp64Milli(ts) AS time, value, count, counts "
            f"FROM points {conditions.where} ORDER BY series, time"
        )
    width = conditions.bind(step, "Int64")
    gauges = "SELECT id FROM series WHERE kind = 'gauge'"
    return (
        f"SELECT series, intDiv(toUnixTimestamp64Milli(ts), {width}) * {width} AS time, "
        f"if(series IN ({gauges}), avg(value), argMax(value, ts)) AS amount, "
        f"argMax(count, ts), argMax(counts, ts) FROM points {conditions.where} "
        "GROUP BY series, time ORDER BY series, time"
    )
