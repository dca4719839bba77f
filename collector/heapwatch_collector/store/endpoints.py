"""What endpoints did in a time range: increases of their cumulative series, summed over instances."""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_collector.store.conditions import Conditions
from heapwatch_collector.store.engine import Store

REQUESTS = "http.server.request.duration"
TASKS = "heapwatch.task.duration"
ALLOCATED = "heapwatch.endpoint.allocated"
LIVE = "heapwatch.endpoint.live"
CUMULATIVE = (
    REQUESTS,
    TASKS,
    ALLOCATED,
    "heapwatch.endpoint.retained",
    "heapwatch.endpoint.peak",
    "heapwatch.endpoint.gc.pause",
    "heapwatch.endpoint.cpu",
    "heapwatch.endpoint.queries",
    "heapwatch.endpoint.queries.repeated",
    "heapwatch.endpoint.queries.time",
    "heapwatch.endpoint.templates.time",
)
LOOKBACK = 120_000
"""Milliseconds before a range in which a series' last point is sought: what it grew by counts from there."""
ALIVE = 60_000
"""Milliseconds before the last point of all in which live bytes count as now's; a step, if that is longer."""

_NAME = (
    "multiIf(mapContains(labels, 'heapwatch.endpoint'), labels['heapwatch.endpoint'], "
    "labels['http.route'] != '', concat(labels['http.request.method'], ' ', labels['http.route']), "
    "labels['http.request.method'] = '_OTHER', '(other)', labels['http.request.method'])"
)
_TIME = "toUnixTimestamp64Milli(ts)"
_OUTCOME = "concat(labels['http.response.status_code'], labels['heapwatch.outcome'])"


@dataclass(frozen=True)
class Window:
    """[start, end] in Unix ms of `service`; one sum per `step` (ms).

    No `version` or `instances` means all.
    """

    service: str
    version: str | None
    start: int
    end: int
    step: int
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class Increase:
    """By how much the metric `name` of an endpoint grew in the step that begins at `time` (Unix ms).

    Of a histogram `value` is the sum; `count` observations fell into `counts` by `bounds`.
    """

    endpoint: str
    name: str
    outcome: str
    bounds: tuple[float, ...]
    time: int
    value: float
    count: int
    counts: tuple[int, ...]


def increases(store: Store, window: Window) -> list[Increase]:
    """The increases of CUMULATIVE; a series that begins within the window, or anew, counts from zero."""
    conditions = Conditions()
    owners = _owners(conditions, window, CUMULATIVE)
    latest = _latest(conditions, window)
    before = "OVER (PARTITION BY series ORDER BY slot ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
    pairs = (
        f"SELECT series, slot, v, c, cs, lagInFrame(v) {before} AS pv, "
        f"lagInFrame(c) {before} AS pc, lagInFrame(cs) {before} AS pcs FROM ({latest})"
    )
    grown = (
        "SELECT series, slot, c < pc OR (empty(cs) AND v < pv) AS anew, if(anew, v, v - pv) AS dv, "
        "if(anew, c, c - pc) AS dc, "
        "if(anew, cs, arrayMap((now, old) -> now - old, cs, arrayResize(pcs, length(cs), 0))) AS dcs "
        f"FROM ({pairs})"
    )
    sql = (
        "SELECT endpoint, name, outcome, bounds, slot, sum(dv), sum(dc), sumForEach(dcs) "
        f"FROM ({grown}) AS g INNER JOIN ({owners}) AS o ON o.id = g.series "
        "WHERE slot > 0 GROUP BY endpoint, name, outcome, bounds, slot ORDER BY slot"
    )
    return [
        Increase(endpoint, name, outcome, tuple(bounds), slot, value, count, tuple(counts))
        for endpoint, name, outcome, bounds, slot, value, count, counts in store.rows(
            sql, conditions.parameters
        )
    ]


def live_bytes(store: Store, window: Window) -> dict[str, float]:
    """What lives at the end of the window, by the endpoint that allocated it, of the instances that live."""
    conditions = Conditions()
    owners = _owners(conditions, window, (LIVE,))
    points = conditions.beside()
    points.equals("service", window.service)
    points.equals("name", LIVE)
    points.during(window.start, window.end)
    last = (
        "SELECT series, argMax(value, ts) AS v, toUnixTimestamp64Milli(max(ts)) AS at "
        f"FROM points {points.where} GROUP BY series"
    )
    sql = (
        "SELECT endpoint, sum(v) FROM ("
        f"SELECT endpoint, v, at, max(at) OVER () AS newest FROM ({last}) AS p "
        f"INNER JOIN ({owners}) AS o ON o.id = p.series) "
        f"WHERE at > newest - {max(ALIVE, window.step)} GROUP BY endpoint"
    )
    return dict(store.rows(sql, conditions.parameters))


def _owners(conditions: Conditions, window: Window, names: tuple[str, ...]) -> str:
    """The series of `names` with the endpoint and outcome that their labels say."""
    own = conditions.beside()
    own.equals("service", window.service)
    own.add("signal = 'metric'")
    own.add(f"name IN {own.bind(list(names), 'Array(String)')}")
    if window.version is not None:
        own.equals("version", window.version)
    if window.instances:
        own.add(f"instance IN {own.bind(list(window.instances), 'Array(String)')}")
    return (
        f"SELECT id, name, bounds, {_NAME} AS endpoint, {_OUTCOME} AS outcome "
        f"FROM series {own.where} LIMIT 1 BY id"
    )


def _latest(conditions: Conditions, window: Window) -> str:
    """The last point of each series and step; in step 0 the last before the window."""
    own = conditions.beside()
    own.equals("service", window.service)
    own.add(f"name IN {own.bind(list(CUMULATIVE), 'Array(String)')}")
    own.during(window.start - LOOKBACK, window.end)
    width, start = own.bind(window.step, "Int64"), own.bind(window.start, "Int64")
    return (
        f"SELECT series, if({_TIME} < {start}, 0, intDiv({_TIME}, {width}) * {width}) AS slot, "
        "argMax(value, ts) AS v, toInt64(argMax(count, ts)) AS c, "
        "arrayMap(n -> toInt64(n), argMax(counts, ts)) AS cs "
        f"FROM points {own.where} GROUP BY series, slot"
    )
