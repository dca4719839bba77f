"""Live bytes and objects by allocation site over time: what a leak verdict is made from.

A site is the responsible frame of a stack (`heapwatch_wire.sites.responsible`), named by its hash. A push
in which a site has no sample is a zero: without it a site that shrinks to nothing would look unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from heapwatch_wire.sites import Stack

from heapwatch_collector.errors import MOST_POINTS, TooManyPoints
from heapwatch_collector.store.conditions import Conditions
from heapwatch_collector.store.engine import Store
from heapwatch_collector.store.profiles import load_stacks

BYTES = "memory:inuse_space:bytes:space:bytes"
OBJECTS = "memory:inuse_objects:count:space:bytes"

SitePoint = tuple[int, float, float]


@dataclass
class SiteSeries:
    """A site: its heaviest stack, its endpoints' shares of its bytes, and its points by instance.

    A point is (Unix ms, live bytes, live objects).
    """

    stack: Stack
    endpoints: list[tuple[str, float]] = field(default_factory=list)
    instances: dict[str, list[SitePoint]] = field(default_factory=dict)


@dataclass(frozen=True)
class SiteQuery:
    """Sites of `service` (one version, or all when None) in [start, end], Unix ms.

    `step` > 0 gives one point per step (ms): the mean of its pushes.
    """

    service: str
    version: str | None
    start: int
    end: int
    limit: int
    step: int = 0


def site_series(store: Store, query: SiteQuery) -> tuple[int, list[SiteSeries]]:
    """(sampling interval in bytes, the sites that grew most, then the largest). Raises TooManyPoints."""
    pushes, interval = _pushes(store, query)
    ranked = _ranked(store, query)
    if not ranked:
        return interval, []
    if sum(map(len, pushes.values())) * len(ranked) > MOST_POINTS:
        raise TooManyPoints
    stacks = _heaviest_stacks(store, query, ranked)
    found = {site: SiteSeries(stacks[site]) for site in ranked if site in stacks}
    for site, name, share in _endpoints(store, query, ranked):
        if site in found:
            found[site].endpoints.append((name, share))
    for (site, instance), values in _values(store, query, ranked).items():
        if site in found:
            found[site].instances[instance] = [(t, *values.get(t, (0.0, 0.0))) for t in pushes[instance]]
    return interval, list(found.values())


def _pushes(store: Store, query: SiteQuery) -> tuple[dict[str, list[int]], int]:
    """The push times (or step begins) of each instance, and the latest sampling interval."""
    conditions = Conditions()
    conditions.add(_selected(conditions, query, f"has(types, '{BYTES}')"))
    sql = (
        f"SELECT instance, {_time(conditions, query)} AS time, max(period) FROM profiles "
        f"INNER JOIN {_owners(conditions, query)} AS o ON o.id = series {conditions.where} "
        "GROUP BY instance, time ORDER BY time"
    )
    pushes: dict[str, list[int]] = {}
    interval = 0
    for instance, time, period in store.rows(sql, conditions.parameters):
        pushes.setdefault(instance, []).append(time)
        interval = period
    return pushes, interval


def _ranked(store: Store, query: SiteQuery) -> list[int]:
    """Sites by growth, then by size, summed over instances.

    An instance's growth is the mean of the second half of its pushes less that of the first half, so that
    one that began within the range is judged on its own life.
    """
    conditions = Conditions()
    samples = _selected(conditions, query, f"type = '{BYTES}'")
    pushes = _selected(conditions, query, f"has(types, '{BYTES}')")
    halves = (
        "SELECT series, arraySort(groupArray(ts)) AS times, times[intDiv(length(times), 2) + 1] AS middle, "
        "arrayCount(t -> t < middle, times) AS before, length(times) - before AS after "
        f"FROM profiles WHERE {pushes} GROUP BY series"
    )
    sums = (
        "SELECT site, s.series, before, after, sumIf(value, ts < middle) AS early, "
        "sumIf(value, ts >= middle) AS late "
        f"FROM (SELECT site, series, ts, value FROM samples WHERE {samples}) AS s "
        f"INNER JOIN ({halves}) AS h ON h.series = s.series GROUP BY site, s.series, before, after"
    )
    sql = (
        "SELECT site, sum(if(before = 0, 0, late / after - early / before)) AS growth, "
        f"sum((early + late) / (before + after)) AS size FROM ({sums}) "
        f"GROUP BY site ORDER BY growth DESC, size DESC LIMIT {conditions.bind(query.limit, 'UInt32')}"
    )
    return [row[0] for row in store.rows(sql, conditions.parameters)]


def _heaviest_stacks(store: Store, query: SiteQuery, sites: list[int]) -> dict[int, Stack]:
    conditions = Conditions()
    where = _of_sites(conditions, query, sites)
    sql = (
        "SELECT site, argMax(stack, total) FROM (SELECT site, stack, sum(value) AS total "
        f"FROM samples WHERE {where} GROUP BY site, stack) GROUP BY site"
    )
    heaviest = dict(store.rows(sql, conditions.parameters))
    stacks = load_stacks(store, heaviest.values())
    return {site: stacks[stack] for site, stack in heaviest.items() if stack in stacks}


def _endpoints(store: Store, query: SiteQuery, sites: list[int]) -> list[tuple[int, str, float]]:
    """(site, endpoint, share of the site's bytes over the range), largest share first."""
    conditions = Conditions()
    where = _of_sites(conditions, query, sites)
    sql = (
        "SELECT site, endpoint, total / sum(total) OVER (PARTITION BY site) AS share FROM "
        f"(SELECT site, endpoint, sum(value) AS total FROM samples WHERE {where} GROUP BY site, endpoint) "
        "ORDER BY share DESC"
    )
    return [row for row in store.rows(sql, conditions.parameters) if row[1]]


def _values(
    store: Store, query: SiteQuery, sites: list[int]
) -> dict[tuple[int, str], dict[int, tuple[float, float]]]:
    """(live bytes, live objects) by (site, instance) and time."""
    conditions = Conditions()
    wanted = conditions.bind(sites, "Array(UInt64)")
    where = _selected(conditions, query, f"type IN ('{BYTES}', '{OBJECTS}') AND site IN {wanted}")
    pushes = _selected(conditions, query, f"has(types, '{BYTES}')")
    time = _time(conditions, query)
    sums = (
        f"SELECT site, series, type, {time} AS time, sum(value) AS total "
        f"FROM samples WHERE {where} GROUP BY ALL"
    )
    counts = f"SELECT series, {time} AS time, count() AS pushes FROM profiles WHERE {pushes} GROUP BY ALL"
    sql = (
        f"SELECT site, instance, s.time AS at, sumIf(total / pushes, type = '{BYTES}'), "
        f"sumIf(total / pushes, type = '{OBJECTS}') FROM ({sums}) AS s "
        f"INNER JOIN ({counts}) AS c ON c.series = s.series AND c.time = s.time "
        f"INNER JOIN {_owners(conditions, query)} AS o ON o.id = s.series "
        "GROUP BY site, instance, at"
    )
    values: dict[tuple[int, str], dict[int, tuple[float, float]]] = {}
    for site, instance, at, size, objects in store.rows(sql, conditions.parameters):
        values.setdefault((site, instance), {})[at] = (size, objects)
    return values


def _time(conditions: Conditions, query: SiteQuery) -> str:
    if not query.step:
        return "toUnixTimestamp64Milli(ts)"
    width = conditions.bind(query.step, "Int64")
    return f"intDiv(toUnixTimestamp64Milli(ts), {width}) * {width}"


def _owners(conditions: Conditions, query: SiteQuery) -> str:
    return (
        f"(SELECT id, any(instance) AS instance FROM series WHERE {_series(conditions, query)} GROUP BY id)"
    )


def _series(conditions: Conditions, query: SiteQuery) -> str:
    own = conditions.beside()
    own.equals("service", query.service)
    own.add("signal = 'profile'")
    if query.version is not None:
        own.equals("version", query.version)
    return own.text


def _selected(conditions: Conditions, query: SiteQuery, condition: str) -> str:
    """Conditions on `samples` or `profiles`."""
    own = conditions.beside()
    own.equals("service", query.service)
    own.add(condition)
    own.during(query.start, query.end)
    own.add(f"series IN (SELECT id FROM series WHERE {_series(conditions, query)})")
    return own.text


def _of_sites(conditions: Conditions, query: SiteQuery, sites: list[int]) -> str:
    wanted = conditions.bind(sites, "Array(UInt64)")
    return _selected(conditions, query, f"type = '{BYTES}' AND site IN {wanted}")
