"""The evidence document: what the CLI prints, the page shows, the alert carries and the API returns.

One schema, made of frozen dataclasses. `to_json` gives plain JSON values; `from_json` checks types and
refuses unknown or missing keys with an EvidenceError that names the place.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from heapwatch_wire.sites import Frame

Document = TypeVar("Document")


class EvidenceError(ValueError):
    """A document that doesn't fit the schema; the message names the key."""


@dataclass(frozen=True)
class Call:
    """A frame of a stack: qualified function name, file, line."""

    function: str
    file: str
    line: int

    @classmethod
    def of(cls, frame: Frame) -> Call:
        return cls(frame.function, frame.file, frame.line)

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


@dataclass(frozen=True)
class Site:
    """An allocation site. `caller` is the innermost frame of the user's own code; `stack` innermost first."""

    id: str
    function: str
    file: str
    line: int
    caller: Call | None = None
    stack: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Point:
    """Estimated live bytes and objects of a site at `time` (Unix seconds)."""

    time: float
    bytes: float
    objects: float


@dataclass(frozen=True)
class Growth:
    """Rates per second; `low` and `high` bound bytes_per_second at `confidence`."""

    bytes_per_second: float
    low: float
    high: float
    objects_per_second: float
    confidence: float = 0.95

    @classmethod
    def total(cls, growths: Sequence[Growth]) -> Growth:
        """Of several processes together, at least one: their errors are independent."""
        rate = sum(growth.bytes_per_second for growth in growths)
        margin = math.hypot(*(growth.high - growth.bytes_per_second for growth in growths))
        objects = sum(growth.objects_per_second for growth in growths)
        return cls(rate, rate - margin, rate + margin, objects, growths[0].confidence)


@dataclass(frozen=True)
class Holder:
    """A chain of references that keeps samples alive.

    `root` says where it ends: "module", "class", "thread", "frame", "generator", "C" or "unknown";
    `path` reads from the root down, such as `app.cache.SESSIONS['u:17'].items[3]`; `types` are the
    types along it; `share` is the fraction of the examined samples that it holds.
    """

    path: str
    root: Literal["module", "class", "thread", "frame", "generator", "C", "unknown"]
    types: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class Share:
    """A named fraction, such as an endpoint's part of a site's live bytes."""

    name: str
    share: float


@dataclass(frozen=True)
class Forecast:
    """When `current` bytes meet `limit` bytes: seconds from now, with [low, high] at `confidence`.

    `high` is None when growth may also stop before the limit.
    """

    current: float
    limit: float
    seconds: float
    low: float
    high: float | None
    confidence: float = 0.8


@dataclass(frozen=True)
class Part:
    """A part of a process's memory: bytes now, their growth, and what lies in it, in words."""

    name: str
    bytes: float
    bytes_per_second: float
    meaning: str = ""


@dataclass(frozen=True)
class Recommendation:
    """What to change, and the bytes per hour that it would save."""

    title: str
    text: str
    saves_bytes_per_hour: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """A verdict on one allocation site of one service version.

    `verdict` is "leak" (growth proved by its site) or "suspicion" (growing, not yet proved).
    `kind` is "cycle" when nothing but reference cycles holds the objects, so that only the garbage collector
    frees them, "native" when it is memory of C code, else "python".
    `instances` counts processes that were judged, `growing` those in which the site grows.
    Of memory that no line of Python explains (`heapwatch_wire.native`), `parts` are what RSS consists of, the
    fastest first, and `suspects` packages with extension modules, those first that are most used.
    `statistics` and `thresholds` name the figures that decided. Times are Unix seconds.
    """

    verdict: Literal["leak", "suspicion"]
    service: str
    version: str
    site: Site
    type: str
    live_bytes: float
    live_objects: float
    growth: Growth
    time: float
    instances: int = 1
    growing: int = 1
    series: tuple[Point, ...] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    endpoints: tuple[Share, ...] = ()
    forecast: Forecast | None = None
    recommendation: Recommendation | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["python", "native", "cycle"] = "python"
    parts: tuple[Part, ...] = ()
    suspects: tuple[str, ...] = ()


def to_json(document: Any) -> dict[str, Any]:
    """`document` as JSON values (dict, list, str, float, None)."""
    return asdict(document)


def from_json(kind: type[Document], value: Any) -> Document:
    """`value`, as parsed from JSON, as a document of `kind`; EvidenceError if it doesn't fit."""
    result: Document = _read(kind, value, kind.__name__)
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _read_document(kind, value, where)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(a for a in get_args(kind) if a is not type(None)), value, where)
    if origin is Literal:
        if value not in get_args(kind):
            raise EvidenceError(
                f"{where}: expected one of {', '.join(map(repr, get_args(kind)))}, not {value!r}"
            )
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise EvidenceError(f"{where}: expected a list")
        return tuple(_read(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise EvidenceError(f"{where}: expected an object")
        return {str(k): _read(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    return _read_scalar(kind, value, where)


def _read_scalar(kind: type, value: Any, where: str) -> Any:
    accepted = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise EvidenceError(f"{where}: expected {kind.__name__}, not {value!r:.80}")
    return kind(value)


def _read_document(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise EvidenceError(f"{where}: expected an object")
    names = {f.name for f in fields(kind)}
    unknown = sorted(set(value) - names)
    if unknown:
        raise EvidenceError(f"{where}: unknown key {unknown[0]!r:.80}")
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(required - set(value))
    if missing:
        raise EvidenceError(f"{where}: missing key {missing[0]!r}")
    return kind(**{k: _read(_hints(kind)[k], v, f"{where}.{k}") for k, v in value.items()})
