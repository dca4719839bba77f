"""What is shown of some processes: figures, not yet text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """Bytes, seconds, and rates a second; None what isn't known. `used` of `limit` is the container's, or the
    machine's. `gc_share` is the part of the time that garbage collections took, `gc_longest` the longest of
    the last pauses."""

    pid: int
    main: int
    service: str = ""
    version: str = ""
    uptime: float = 0.0
    rss: int = 0
    peak: int = 0
    used: int = 0
    limit: int = 0
    growth: float | None = None
    live_bytes: float = 0.0
    gc_share: float | None = None
    gc_longest: float | None = None
    requests_in_flight: int = 0
    requests_per_second: float | None = None
    note: str = ""


@dataclass(frozen=True)
class SiteRow:
    """An allocation site of a service, its processes added up. Bytes; `growth` and `alloc_rate` a second."""

    service: str
    id: str
    function: str
    file: str
    line: int
    live_bytes: float
    live_objects: float
    inherited_bytes: float
    growth: float
    alloc_rate: float | None


@dataclass(frozen=True)
class GenerationRow:
    """A generation of the garbage collector of a process. Seconds, and rates a second; quantiles are of the
    last pauses, None when there was none."""

    pid: int
    generation: int
    threshold: int
    young: int
    collections_per_second: float
    collected_per_second: float
    share: float
    p50: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True)
class EndpointRow:
    """An endpoint of a service, its processes added up; `kind` is request, task or job.

    Since the agents' start: `requests`, `mean` seconds, bytes `allocated` by one request and `retained` by
    all, `statements` of one, and `repeated`: how often at most one executes the same statement, by which
    line. `live` bytes are of now, the rest of the window.
    """

    service: str
    kind: str
    name: str
    requests: int
    requests_per_second: float
    p99: float | None
    mean: float
    allocated: float
    retained: float
    live: float
    statements: float
    repeated: int
    repeated_by: str


@dataclass(frozen=True)
class View:
    """All of it, at `time` (Unix seconds). Rates are over the last `window` seconds; when that is None, since
    the agents' start."""

    time: float
    window: float | None
    processes: tuple[Process, ...]
    sites: tuple[SiteRow, ...]
    gc: tuple[GenerationRow, ...]
    endpoints: tuple[EndpointRow, ...]
