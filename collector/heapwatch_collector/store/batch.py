"""A batch: the rows that one request brings, gathered by its decoder and stored as a whole or not at all."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from heapwatch_wire.sites import Stack

from heapwatch_collector.store.schema import ANALYSES, EVIDENCE, INSTANCES, POINTS, PROFILES, SAMPLES, Table

Signal = Literal["profile", "metric"]


class Series(NamedTuple):
    """Who sent and what: the labels that all points of a metric, or all profiles of a producer, share.

    `kind` is a metric's instrument; `bounds` are a histogram's bucket bounds.
    """

    service: str
    signal: Signal
    name: str
    version: str
    instance: str
    labels: tuple[tuple[str, str], ...]
    kind: str = ""
    bounds: tuple[float, ...] = ()

    @property
    def id(self) -> int:
        """64-bit hash that names the series."""
        return hash64(repr(tuple(self)).encode("utf-8", "surrogatepass"))


class Point(NamedTuple):
    """A metric's value at `time` (Unix ms); of a histogram its sum, observations, and counts per bucket."""

    time: int
    value: float
    observations: int = 0
    counts: tuple[int, ...] = ()


class Instance(NamedTuple):
    """One process of a service, as it describes itself."""

    service: str
    version: str
    instance: str
    pid: str = ""
    host: str = ""
    runtime: str = ""


def hash64(data: bytes) -> int:
    """64 bits of BLAKE2b: equal on every machine, so that dictionaries can be merged."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def stack_id(frame_ids: Sequence[int]) -> int:
    """The hash of a stack from the hashes of its frames."""
    return hash64(struct.pack(f">{len(frame_ids)}Q", *frame_ids))


@dataclass
class Batch:
    """Rows by table. `size` is what it counts against the pending limit, in bytes.

    `key` names a delivery that may be repeated: one that has been stored is not stored again.
    """

    size: int
    key: tuple[tuple[int, int], ...] = ()
    stacks: dict[int, Stack] = field(default_factory=dict)
    series: dict[int, Series] = field(default_factory=dict)
    points: list[tuple[int, Point]] = field(default_factory=list)
    instances: dict[Instance, tuple[int, int]] = field(default_factory=dict)
    rows: dict[Table, list[tuple[Any, ...]]] = field(default_factory=dict)

    def add_series(self, series: Series) -> int:
        """Make `series` known; its id."""
        number = series.id
        self.series[number] = series
        return number

    def add_point(self, series: int, point: Point) -> None:
        self.points.append((series, point))

    def add_samples(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows in the order of the columns of SAMPLES."""
        if rows:
            self.rows.setdefault(SAMPLES, []).extend(rows)

    def add_profile(self, service: str, series: int, time: int, types: list[str], period: int) -> None:
        self.rows.setdefault(PROFILES, []).append((service, series, time, types, period))

    def add_instance(self, instance: Instance, time: int) -> None:
        """Note that `instance` was alive at `time` (Unix ms)."""
        first, last = self.instances.get(instance, (time, time))
        self.instances[instance] = (min(first, time), max(last, time))

    def add_evidence(
        self, service: str, version: str, site: str, instance: str, time: int, document: str
    ) -> None:
        self.rows.setdefault(EVIDENCE, []).append((service, version, site, instance, time, document))

    def add_analysis(self, service: str, version: str, time: int, document: str) -> None:
        self.rows.setdefault(ANALYSES, []).append((service, version, time, document))

    def tables(self) -> dict[Table, pa.Table]:
        """The rows as Arrow tables, without the dictionaries."""
        rows = dict(self.rows)
        if self.points:
            rows[POINTS] = [(self.series[s].service, self.series[s].name, s, *p) for s, p in self.points]
        if self.instances:
            rows[INSTANCES] = [
                (i.service, i.version, i.instance, first, last, i.pid, i.host, i.runtime)
                for i, (first, last) in self.instances.items()
            ]
        return {table: to_arrow(table, found) for table, found in rows.items()}


def to_arrow(table: Table, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """`rows`, tuples in the order of the columns of `table`, as an Arrow table."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(c, type=kind) for c, (_, _, kind) in zip(columns, table.columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=table.arrow)


def stack_row(number: int, stack: Stack, seen: int) -> tuple[Any, ...]:
    """A row of STACKS; `seen` in Unix seconds."""
    return (number, [f.function for f in stack], [f.file for f in stack], [f.line for f in stack], seen)


def series_row(number: int, series: Series, seen: int) -> tuple[Any, ...]:
    """A row of SERIES; `seen` in Unix seconds."""
    s = series
    return (s.service, number, s.signal, s.name, s.version, s.instance, s.labels, s.kind, s.bounds, seen)


def labels_tuple(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels in the order in which a series is named by them."""
    return tuple(sorted(labels.items()))
