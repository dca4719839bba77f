"""The tables, in one place: their columns for ClickHouse and for Arrow, their order and their lifetime.

Samples and points carry the hash of their series (the labels of who sent them) and of their stack;
`series` and `stacks` are the dictionaries behind the hashes. Both are written again once a day while in
use, so that they outlive what refers to them. Times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_TEXT = pa.string()
_TIME = pa.timestamp("ms")
_LABELS = pa.map_(pa.string(), pa.string())

# Orders the rows of an hour by who and what, so that equal values lie together and compress; the hour
# before them keeps a query on a time range from reading the whole retention.
_HOUR = "toStartOfHour(ts)"


@dataclass(frozen=True)
class Table:
    """A table. `columns` are (name, ClickHouse type and codec, Arrow type); `order` is its sorting key.

    Rows leave `retention` after the time that stands in `time`, plus `grace` seconds.
    """

    name: str
    columns: tuple[tuple[str, str, pa.DataType], ...]
    order: str
    time: str = "ts"
    engine: str = "MergeTree"
    partition: str = ""
    grace: int = 0

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([(name, kind) for name, _, kind in self.columns])

    def lifetime(self, retention: float) -> str:
        return f"toDateTime({self.time}) + INTERVAL {int(retention) + self.grace} SECOND"

    def create(self, retention: float) -> str:
        """The CREATE TABLE statement; inserts are on the disk when they return."""
        columns = ", ".join(f"{name} {sql}" for name, sql, _ in self.columns)
        partition = f"PARTITION BY {self.partition} " if self.partition else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) ENGINE = {self.engine} {partition}"
            f"ORDER BY ({self.order}) TTL {self.lifetime(retention)} "
            "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )

    def keep_for(self, retention: float) -> str:
        """The statement that gives an existing table this retention."""
        return (
            f"ALTER TABLE {self.name} MODIFY TTL {self.lifetime(retention)} "
            "SETTINGS materialize_ttl_after_modify = 0"
        )


_NAME = "LowCardinality(String)"
_TS = ("ts", "DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD)", _TIME)
_DAY = 86400

STACKS = Table(
    "stacks",
    (
        ("id", "UInt64", pa.uint64()),
        ("functions", "Array(String) CODEC(ZSTD)", pa.list_(_TEXT)),
        ("files", "Array(String) CODEC(ZSTD)", pa.list_(_TEXT)),
        ("lines", "Array(UInt32) CODEC(ZSTD)", pa.list_(pa.uint32())),
        ("seen", "DateTime('UTC')", pa.timestamp("s")),
    ),
    order="id",
    time="seen",
    engine="ReplacingMergeTree(seen)",
    grace=2 * _DAY,
)

SERIES = Table(
    "series",
    (
        ("service", _NAME, _TEXT),
        ("id", "UInt64", pa.uint64()),
        ("signal", _NAME, _TEXT),
        ("name", _NAME, _TEXT),
        ("version", _NAME, _TEXT),
        ("instance", _NAME, _TEXT),
        ("labels", "Map(LowCardinality(String), String) CODEC(ZSTD)", _LABELS),
        ("kind", _NAME, _TEXT),
        ("bounds", "Array(Float64) CODEC(ZSTD)", pa.list_(pa.float64())),
        ("seen", "DateTime('UTC')", pa.timestamp("s")),
    ),
    order="service, id",
    time="seen",
    engine="ReplacingMergeTree(seen)",
    grace=2 * _DAY,
)

SAMPLES = Table(
    "samples",
    (
        ("service", _NAME, _TEXT),
        ("type", _NAME, _TEXT),
        ("series", "UInt64 CODEC(ZSTD)", pa.uint64()),
        _TS,
        ("stack", "UInt64 CODEC(ZSTD)", pa.uint64()),
        ("site", "UInt64 CODEC(ZSTD)", pa.uint64()),
        ("endpoint", _NAME, _TEXT),
        ("thread", _NAME, _TEXT),
        ("value", "Int64 CODEC(Delta, ZSTD)", pa.int64()),
    ),
    order=f"service, type, {_HOUR}, series, stack, endpoint, thread, ts",
    partition="toMonday(ts)",
)

PROFILES = Table(
    "profiles",
    (
        ("service", _NAME, _TEXT),
        ("series", "UInt64 CODEC(ZSTD)", pa.uint64()),
        _TS,
        ("types", "Array(LowCardinality(String))", pa.list_(_TEXT)),
        ("period", "Int64", pa.int64()),
    ),
    order=f"service, {_HOUR}, series, ts",
    partition="toMonday(ts)",
)

POINTS = Table(
    "points",
    (
        ("service", _NAME, _TEXT),
        ("name", _NAME, _TEXT),
        ("series", "UInt64 CODEC(ZSTD)", pa.uint64()),
        _TS,
        ("value", "Float64 CODEC(ZSTD)", pa.float64()),
        ("count", "UInt64 CODEC(Delta, ZSTD)", pa.uint64()),
        ("counts", "Array(UInt64) CODEC(ZSTD)", pa.list_(pa.uint64())),
    ),
    order=f"service, name, {_HOUR}, series, ts",
    partition="toMonday(ts)",
)

# max() of a text keeps the one that isn't empty.
_KNOWN = "SimpleAggregateFunction(max, String)"

INSTANCES = Table(
    "instances",
    (
        ("service", _NAME, _TEXT),
        ("version", _NAME, _TEXT),
        ("instance", "String", _TEXT),
        ("first", "SimpleAggregateFunction(min, DateTime64(3, 'UTC'))", _TIME),
        ("last", "SimpleAggregateFunction(max, DateTime64(3, 'UTC'))", _TIME),
        ("pid", _KNOWN, _TEXT),
        ("host", _KNOWN, _TEXT),
        ("runtime", _KNOWN, _TEXT),
    ),
    order="service, version, instance",
    time="last",
    engine="AggregatingMergeTree",
)

EVIDENCE = Table(
    "evidence",
    (
        ("service", _NAME, _TEXT),
        ("version", _NAME, _TEXT),
        ("site", "String", _TEXT),
        ("instance", "String", _TEXT),
        ("ts", "DateTime64(3, 'UTC')", _TIME),
        ("document", "String CODEC(ZSTD)", _TEXT),
    ),
    order="service, version, site, instance",
    engine="ReplacingMergeTree(ts)",
)

ANALYSES = Table(
    "analyses",
    (
        ("service", _NAME, _TEXT),
        ("version", _NAME, _TEXT),
        ("ts", "DateTime64(3, 'UTC')", _TIME),
        ("document", "String CODEC(ZSTD)", _TEXT),
    ),
    order="service, version",
    engine="ReplacingMergeTree(ts)",
)

# In the order of insertion: what others refer to comes first, and a profile counts from its last row on.
TABLES = (STACKS, SERIES, SAMPLES, POINTS, PROFILES, INSTANCES, EVIDENCE, ANALYSES)
