"""One instance: what its memory consists of, what its collector and its requests do."""

from __future__ import annotations

from heapwatch_wire import thresholds

from heapwatch_dashboards.frame import board, finished, section
from heapwatch_dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    THIRD,
    AnyPanel,
    graph,
)
from heapwatch_dashboards.queries import Query, limit_share, quantile, rate, series
from heapwatch_dashboards.sdk import models


def build() -> models.Dashboard:
    built = board(
        "heapwatch-instance",
        "Heapwatch: instance",
        "Memory, garbage collection, requests and the agent of single processes.",
        ["service", "version", "instance"],
    )
    section(built, "Memory of the process", _process())
    section(built, "Defence", _defence())
    section(built, "Allocators", _allocators())
    section(built, "Garbage collection", _collection())
    section(built, "Requests", _requests())
    section(built, "Endpoints", _endpoints())
    section(built, "The agent itself", _agent())
    return finished(built)


def _gauge(metric: str, what: str) -> Query:
    return Query(f"max by (instance) ({series(metric)})", f"{what} {{{{instance}}}}")


def _process() -> list[AnyPanel]:
    return [
        graph(
            "Resident memory",
            "Resident set, its peak so far, and the memory limit of the container where there is one.",
            BYTES,
            [
                _gauge("process.memory.usage", "resident"),
                _gauge("heapwatch.process.memory.peak", "peak"),
                _gauge("heapwatch.container.memory.limit", "limit"),
            ],
        ),
        graph(
            "Memory limit used",
            "Working set over memory limit of the container.",
            RATIO,
            [Query(limit_share("instance"), "{{instance}}")],
            marks=[thresholds.MEMORY_HIGH, thresholds.MEMORY_CRITICAL],
        ),
        graph(
            "Private and shared",
            "Own pages and pages shared with other processes; after a fork, writing makes them private.",
            BYTES,
            [
                _gauge("heapwatch.process.memory.private", "private"),
                _gauge("heapwatch.process.memory.shared", "shared"),
                _gauge("heapwatch.process.memory.swap", "swapped"),
            ],
        ),
        graph(
            "Time to the limit",
            "Forecast time until the instance meets its memory limit; empty while it is not foreseen.",
            SECONDS,
            [Query(f"min by (instance) ({series('heapwatch.memory.limit_eta')})", "{{instance}}")],
            marks=[thresholds.LIMIT_NEAR, thresholds.LIMIT_IMMINENT],
        ),
    ]


def _defence() -> list[AnyPanel]:
    by = "instance, heapwatch_action, heapwatch_defence_mode"
    done = f"sum by ({by}) (increase({series('heapwatch.defence.actions')}[5m]))"
    refused = f"sum by (heapwatch_reason, heapwatch_defence_mode) ({rate('heapwatch.defence.shed')})"
    stopped = f"sum by (heapwatch_endpoint, heapwatch_defence_mode) ({rate('heapwatch.defence.stopped')})"
    mode = "({{heapwatch_defence_mode}})"
    return [
        graph(
            "State of the defence",
            "0: nothing to do; 1: memory is given back; 2: requests are refused; 3: the worker takes leave.",
            COUNT,
            [_gauge("heapwatch.defence.state", "")],
            marks=[thresholds.DEFENCE_EXHAUSTED],
        ),
        graph(
            "Nearest limit used",
            "Memory in use over the limit that is nearer, the container's or the process's own.",
            RATIO,
            [_gauge("heapwatch.defence.used", "")],
        ),
        graph(
            "Actions",
            "Actions in five minutes; of a defence that only observes, what it would have done.",
            COUNT,
            [Query(done, f"{{{{heapwatch_action}}}} {mode} {{{{instance}}}}")],
            span=THIRD,
        ),
        graph(
            "Refused",
            "Requests that were refused per second, of optional routes or any.",
            PER_SECOND,
            [Query(refused, f"{{{{heapwatch_reason}}}} {mode}")],
            span=THIRD,
        ),
        graph(
            "Stopped",
            "Requests that were stopped per second since they held too much memory, by endpoint.",
            PER_SECOND,
            [Query(stopped, f"{{{{heapwatch_endpoint}}}} {mode}")],
            span=THIRD,
        ),
    ]


def _allocators() -> list[AnyPanel]:
    return [
        graph(
            "Held and used",
            "Memory that the allocators took from the system, and what of it is in use.",
            BYTES,
            [
                _gauge("heapwatch.pymalloc.arenas", "pymalloc holds"),
                _gauge("heapwatch.pymalloc.used", "pymalloc uses"),
                _gauge("heapwatch.malloc.arenas", "malloc holds"),
                _gauge("heapwatch.malloc.used", "malloc uses"),
            ],
        ),
        graph(
            "Fragmentation",
            "Memory held and unused over memory held, of both allocators.",
            RATIO,
            [_gauge("heapwatch.memory.fragmentation", "")],
            marks=[thresholds.FRAGMENTATION],
        ),
        graph(
            "Live heap",
            "Estimated bytes of the Python heap that were allocated since the agent's start and still live.",
            BYTES,
            [_gauge("heapwatch.heap.live", "live")],
        ),
        graph(
            "Allocation rate",
            "Estimated bytes allocated per second, kept or not.",
            BYTES_PER_SECOND,
            [Query(f"sum by (instance) ({rate('heapwatch.heap.allocated')})", "{{instance}}")],
        ),
    ]


def _collection() -> list[AnyPanel]:
    by = "instance, cpython_gc_generation"
    legend = "generation {{cpython_gc_generation}} {{instance}}"
    return [
        graph(
            "Pauses",
            "99th percentile of the pauses of a generation's collections.",
            SECONDS,
            [Query(quantile(0.99, "heapwatch.gc.pause", by), legend)],
            marks=[thresholds.GC_PAUSE_LONG, thresholds.GC_PAUSE_SEVERE],
        ),
        graph(
            "Time in collections",
            "Share of the time in which the interpreter stands still for a collection.",
            RATIO,
            [Query(f"sum by ({by}) ({rate('heapwatch.gc.pause', part='sum')})", legend)],
        ),
        graph(
            "Collections",
            "Collections per second.",
            PER_SECOND,
            [Query(f"sum by ({by}) ({rate('cpython.gc.collections')})", legend)],
        ),
        graph(
            "Objects freed and stuck",
            "Objects freed by collections per second, and objects that no collection can free.",
            PER_SECOND,
            [
                Query(f"sum by (instance) ({rate('cpython.gc.collected_objects')})", "freed {{instance}}"),
                Query(
                    f"sum by (instance) ({rate('cpython.gc.uncollectable_objects')})", "stuck {{instance}}"
                ),
            ],
        ),
    ]


def _each(metric: str) -> str:
    """Average of a histogram's values, by endpoint."""
    total, count = (f"sum by (heapwatch_endpoint) ({rate(metric, part=part)})" for part in ("sum", "count"))
    return f"{total} / {count}"


def _endpoints() -> list[AnyPanel]:
    name = "{{heapwatch_endpoint}}"
    repeated = rate("heapwatch.endpoint.queries.repeated")
    return [
        graph(
            "Allocated by a request",
            "Estimated bytes that a request, task or job allocates, on average.",
            BYTES,
            [Query(_each("heapwatch.endpoint.allocated"), name)],
        ),
        graph(
            "Live memory by endpoint",
            "Estimated bytes that live now, by the endpoint that allocated them.",
            BYTES,
            [Query(f"sum by (heapwatch_endpoint) ({series('heapwatch.endpoint.live')})", name)],
        ),
        graph(
            "Statements of a request",
            "Statements that a request sends to databases, on average.",
            COUNT,
            [Query(_each("heapwatch.endpoint.queries"), name)],
            span=THIRD,
        ),
        graph(
            "Repeated statements",
            "Statements per second that repeat one of the same request (N+1).",
            PER_SECOND,
            [Query(f"sum by (heapwatch_endpoint) ({repeated})", name)],
            span=THIRD,
        ),
        graph(
            "Stopped by garbage collections",
            "Time that garbage collections stop a request, on average.",
            SECONDS,
            [Query(_each("heapwatch.endpoint.gc.pause"), name)],
            span=THIRD,
        ),
    ]


def _requests() -> list[AnyPanel]:
    count = rate("http.server.request.duration", part="count")
    return [
        graph(
            "Requests by route",
            "HTTP requests served per second.",
            PER_SECOND,
            [Query(f"sum by (http_route) ({count})", "{{http_route}}")],
        ),
        graph(
            "Slow requests by route",
            "95th percentile of the duration of HTTP requests.",
            SECONDS,
            [Query(quantile(0.95, "http.server.request.duration", "http_route"), "{{http_route}}")],
        ),
        graph(
            "CPU",
            "Processor time used per second.",
            RATIO,
            [Query(f"sum by (instance) ({rate('process.cpu.time')})", "{{instance}}")],
            span=THIRD,
        ),
        graph(
            "Threads",
            "Threads of the process.",
            COUNT,
            [_gauge("process.thread.count", "")],
            span=THIRD,
        ),
        graph(
            "Open files",
            "Open file descriptors.",
            COUNT,
            [_gauge("process.unix.file_descriptor.count", "")],
            span=THIRD,
        ),
    ]


def _agent() -> list[AnyPanel]:
    sampler = f"sum by (instance) ({rate('heapwatch.sampler.dropped')})"
    agent = f"sum by (instance, heapwatch_reason) ({rate('heapwatch.agent.dropped')})"
    return [
        graph(
            "Samples",
            "Samples taken per second.",
            PER_SECOND,
            [Query(f"sum by (instance) ({rate('heapwatch.sampler.samples')})", "{{instance}}")],
            span=THIRD,
        ),
        graph(
            "Own memory",
            "Memory of the sampler's tables.",
            BYTES,
            [_gauge("heapwatch.sampler.memory", "")],
            span=THIRD,
        ),
        graph(
            "Lost",
            "Samples and deliveries lost per second; not zero means that estimates are too low or late.",
            PER_SECOND,
            [
                Query(sampler, "samples {{instance}}"),
                Query(agent, "deliveries ({{heapwatch_reason}}) {{instance}}"),
            ],
            span=THIRD,
        ),
    ]
