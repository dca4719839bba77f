"""Who reports: services and their instances, with what they last said about their memory."""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_collector.store.conditions import Conditions
from heapwatch_collector.store.engine import Store

RSS = "process.memory.usage"
LIMIT = "heapwatch.container.memory.limit"
LIVE = "heapwatch.heap.live"
WORKERS = "heapwatch.process.workers"
REPORTED = (RSS, LIMIT, LIVE, WORKERS)


@dataclass(frozen=True)
class Process:
    """An instance of a service. Times are Unix ms; memory in bytes; None when it was not reported.

    `workers` are the processes that it forked, if it serves nothing itself.
    """

    service: str
    version: str
    instance: str
    first: int
    last: int
    pid: str
    host: str
    runtime: str
    rss: float | None
    limit: float | None
    live: float | None
    workers: float | None = None

    @property
    def is_parent(self) -> bool:
        """Whether it serves nothing itself and has forked processes that do."""
        return bool(self.workers)


def processes(store: Store, service: str | None, start: int, end: int) -> list[Process]:
    """The instances (of one service, or all) that were seen in [start, end], by service and first sight.

    Figures are the latest that were reported in that range.
    """
    conditions = Conditions()
    if service is not None:
        conditions.equals("service", service)
    alive = conditions.beside()
    ends = alive.bind(end, "Int64"), alive.bind(start, "Int64")
    seen = (
        "SELECT service, version, instance, "
        "toUnixTimestamp64Milli(min(first)) AS born, toUnixTimestamp64Milli(max(last)) AS gone, "
        "max(pid), max(host), max(runtime) "
        f"FROM instances {conditions.where} GROUP BY service, version, instance "
        f"HAVING born <= {ends[0]} AND gone >= {ends[1]} ORDER BY service, born, instance"
    )
    found = store.rows(seen, conditions.parameters)
    latest = _latest(store, service, start, end)
    return [Process(*row, *(latest.get((*row[:3], name)) for name in REPORTED)) for row in found]


def _latest(
    store: Store, service: str | None, start: int, end: int
) -> dict[tuple[str, str, str, str], float]:
    """The latest value by (service, version, instance, metric)."""
    conditions = Conditions()
    if service is not None:
        conditions.equals("service", service)
    conditions.add(f"name IN {conditions.bind(list(REPORTED), 'Array(String)')}")
    owners = (
        "SELECT service, id, any(version) AS version, any(instance) AS instance "
        f"FROM series {conditions.where} GROUP BY service, id"
    )
    points = conditions.beside()
    points.add(conditions.text)
    points.during(start, end)
    latest = (
        "SELECT service, name, series, argMax(value, ts) AS value, max(ts) AS at "
        f"FROM points {points.where} GROUP BY service, name, series"
    )
    sql = (
        "SELECT p.service, o.version, o.instance, p.name, argMax(p.value, p.at) "
        f"FROM ({latest}) AS p INNER JOIN ({owners}) AS o ON o.service = p.service AND o.id = p.series "
        "GROUP BY p.service, o.version, o.instance, p.name"
    )
    return {tuple(row[:4]): row[4] for row in store.rows(sql, conditions.parameters)}
