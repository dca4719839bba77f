"""The view as text in tables, for whatever draws them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from heapwatch_wire.evidence import Call
from heapwatch_wire.thresholds import GC_PAUSE_LONG, MEMORY_CRITICAL, MEMORY_GROWTH

from heapwatch.cli.render import place
from heapwatch.cli.table import cut
from heapwatch.cli.top.view import EndpointRow, GenerationRow, Process, SiteRow, View
from heapwatch.cli.units import count, duration, share, signed_size, size

URGENT = "!"
"""Ends a cell that somebody should look at."""

_GC_SHARE = 0.10
_REPEATED = 5
_GAP = 2
_LEAST = 24
"""Columns that the last cell of a row is left with at least."""


class Column(NamedTuple):
    """A column: its header (">" aligns right), a row's text there, and the number that orders by it, the
    largest first. Of a table that is too wide those of the highest `rank` go first."""

    header: str
    text: Callable[[Any], str]
    order: Callable[[Any], float] | None = None
    rank: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title; of more rows than are shown, `hidden` says how many."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    hidden: int = 0


@dataclass(frozen=True)
class Choice:
    """What of the view is shown: all sections or one, ordered by which column, at most how many rows."""

    section: str = ""
    sort: str = ""
    limit: int = 20
    processes: int = 1000


def tables(view: View, choice: Choice, width: int) -> list[Table]:
    """The processes and the sections chosen, in lines of at most `width`."""
    shown = [choice.section] if choice.section else list(SECTIONS)
    several = len({process.service for process in view.processes if process.service}) > 1
    made = [_table("", _needed(PROCESSES, several), view.processes, choice.processes, width)]
    for name in shown:
        columns = _needed(SECTIONS[name], several)
        order = choice.sort if choice.sort in sorts(name) else sorts(name)[0]
        key = next(column.order for column in columns if column.header.removeprefix(">") == order)
        rows = sorted(getattr(view, name), key=key or float, reverse=True)
        made.append(_table(f"{name}, by {order}", columns, rows, choice.limit, width))
    return made


def sorts(section: str) -> list[str]:
    """The columns that `section` can be ordered by; the first is the usual one."""
    return [column.header.removeprefix(">") for column in SECTIONS[section] if column.order is not None]


def title(view: View) -> str:
    """When, of whom, and over which time the rates are."""
    services = ", ".join(dict.fromkeys(p.service for p in view.processes if p.service)) or "?"
    number = len(view.processes)
    over = "since the start" if view.window is None else f"of the last {duration(view.window)}"
    when = time.strftime("%H:%M:%S", time.localtime(view.time))
    return f"{when}  {services}: {number} process{'es' if number > 1 else ''}; rates {over}"


def _needed(columns: Sequence[Column], several: bool) -> list[Column]:
    """Without the services' names where there is one only: the title says it."""
    return [column for column in columns if several or column.header != "service"]


def _table(name: str, columns: Sequence[Column], rows: Sequence[Any], limit: int, width: int) -> Table:
    rows, hidden = rows[:limit], max(0, len(rows) - limit)
    kept = [column for column in columns if column.order or any(map(column.text, rows))]
    while _room(kept, rows, width) < _LEAST and any(column.rank for column in kept):
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    room = max(_LEAST, _room(kept, rows, width))
    cells = ((*(column.text(row) for column in kept[:-1]), _last(row, kept[-1], room)) for row in rows)
    return Table(name, tuple(column.header for column in kept), tuple(cells), hidden)


def _room(columns: Sequence[Column], rows: Sequence[Any], width: int) -> int:
    """What the columns leave to the last of them."""
    widths = (max([len(column.header) - 1, *(len(column.text(row)) for row in rows)]) for column in columns)
    return width - sum(list(widths)[:-1]) - _GAP * (len(columns) - 1)


def _last(row: Any, column: Column, room: int) -> str:
    if isinstance(row, SiteRow):
        return place(Call(row.function, row.file, row.line), room)
    return cut(column.text(row), room)


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else duration(value)


def _urgent(text: str, is_urgent: bool) -> str:
    return text + URGENT if is_urgent else text


def _pid(process: Process) -> str:
    return f"{'' if process.pid == process.main else '└ '}{process.pid}"


def _used(process: Process) -> str:
    if not process.limit:
        return ""
    used = process.used / process.limit
    return _urgent(f"{share(used)} of {size(process.limit)}", used >= MEMORY_CRITICAL.value)


def _growth(process: Process) -> str:
    if process.growth is None:
        return "-"
    return _urgent(signed_size(process.growth * 60), process.growth >= MEMORY_GROWTH.value * 10)


def _pause(row: GenerationRow) -> str:
    return _urgent(_seconds(row.p99), (row.p99 or 0.0) >= GC_PAUSE_LONG.value)


def _repeats(row: EndpointRow) -> str:
    return _urgent(f"x{row.repeated} {row.repeated_by}", True) if row.repeated >= _REPEATED else ""


PROCESSES = (
    Column(">pid", _pid),
    Column("service", lambda p: p.service, rank=5),
    Column("version", lambda p: p.version, rank=9),
    Column(">up", lambda p: duration(p.uptime) if p.service else "", rank=8),
    Column(">rss", lambda p: size(p.rss) if p.rss else ""),
    Column(">growth/min", _growth),
    Column("memory used", _used, rank=1),
    Column(">live heap", lambda p: size(p.live_bytes) if p.service else "", rank=2),
    Column(
        ">GC",
        lambda p: "" if p.gc_share is None else _urgent(f"{p.gc_share:.1%}", p.gc_share >= _GC_SHARE),
        rank=3,
    ),
    Column(
        ">longest pause",
        lambda p: (
            ""
            if p.gc_longest is None
            else _urgent(duration(p.gc_longest), p.gc_longest >= GC_PAUSE_LONG.value)
        ),
        rank=6,
    ),
    Column(">in flight", lambda p: str(p.requests_in_flight) if p.service else "", rank=4),
    Column(">req/s", lambda p: _rate(p.requests_per_second) if p.service else "", rank=4),
    Column("", lambda p: p.note),
)

SITES = (
    Column(">live", lambda s: size(s.live_bytes), lambda s: float(s.live_bytes)),
    Column(">growth/min", lambda s: signed_size(s.growth * 60), lambda s: float(s.growth)),
    Column(">inherited", lambda s: size(s.inherited_bytes) if s.inherited_bytes else "", rank=3),
    Column(">objects", lambda s: count(s.live_objects), lambda s: float(s.live_objects), rank=2),
    Column(
        ">alloc/s",
        lambda s: "-" if s.alloc_rate is None else size(s.alloc_rate),
        lambda s: s.alloc_rate or 0.0,
        rank=1,
    ),
    Column("service", lambda s: str(s.service), rank=1),
    Column("site", lambda s: str(s.id), rank=4),
    Column("allocated at", lambda s: str(s.function)),
)

GENERATIONS: tuple[Column, ...] = (
    Column(">pid", lambda g: str(g.pid)),
    Column(">generation", lambda g: str(g.generation)),
    Column(">GC time", lambda g: f"{g.share:.2%}", lambda g: float(g.share)),
    Column(">collections/s", lambda g: f"{g.collections_per_second:.2f}", rank=3),
    Column(">freed/s", lambda g: count(g.collected_per_second), rank=4),
    Column(">median", lambda g: _seconds(g.p50), rank=2),
    Column(">p99", _pause, lambda g: g.p99 or 0.0),
    Column(">longest", lambda g: _seconds(g.longest), lambda g: g.longest or 0.0, rank=1),
    Column(">now", lambda g: count(g.young), rank=5),
    Column(">threshold", lambda g: count(g.threshold), rank=5),
)

ENDPOINTS: tuple[Column, ...] = (
    Column(">req/s", lambda e: _rate(e.requests_per_second), lambda e: e.requests_per_second),
    Column(">p99", lambda e: _seconds(e.p99), lambda e: e.p99 or 0.0),
    Column(">mean", lambda e: duration(e.mean), lambda e: e.mean, rank=5),
    Column(">allocated", lambda e: size(e.allocated), lambda e: e.allocated, rank=2),
    Column(">retained", lambda e: size(e.retained), lambda e: e.retained, rank=1),
    Column(">live", lambda e: size(e.live), lambda e: e.live),
    Column(">statements", lambda e: count(e.statements), lambda e: e.statements, rank=3),
    Column(">requests", lambda e: count(e.requests), lambda e: float(e.requests), rank=6),
    Column("service", lambda e: str(e.service), rank=1),
    Column("endpoint", lambda e: str(e.name)),
    Column("repeats (N+1)", _repeats),
)

SECTIONS: dict[str, tuple[Column, ...]] = {"sites": SITES, "gc": GENERATIONS, "endpoints": ENDPOINTS}
