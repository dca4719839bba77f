"""The fleet: which service needs a person, and why."""

from __future__ import annotations

from heapwatch_wire import thresholds

from heapwatch_dashboards.frame import board, finished, section
from heapwatch_dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    COUNT,
    HALF,
    PER_SECOND,
    RATIO,
    SECONDS,
    AnyPanel,
    graph,
    number,
    rows,
)
from heapwatch_dashboards.queries import SERVICE, Query, limit_share, quantile, rate, series
from heapwatch_dashboards.sdk import models


def build() -> models.Dashboard:
    built = board(
        "heapwatch-fleet",
        "Heapwatch: fleet",
        "Memory of all services: who grows, leaks or nears a limit.",
        ["service"],
    )
    section(built, "Now", _now())
    section(built, "Memory", _memory())
    section(built, "What users feel", _felt())
    return finished(built)


def _now() -> list[AnyPanel]:
    usage = series("process.memory.usage", SERVICE)
    leaks = series("heapwatch.leak.growth", SERVICE)
    eta = series("heapwatch.memory.limit_eta", SERVICE)
    return [
        number("Services", "Services that report.", COUNT, Query(f"count(count by (service) ({usage}))")),
        number("Instances", "Processes that report.", COUNT, Query(f"count({usage})")),
        number("Memory", "Resident memory of all instances.", BYTES, Query(f"sum({usage})")),
        number(
            "Leaks",
            "Allocation sites that are proved to leak.",
            COUNT,
            Query(f"count({leaks} > {thresholds.LEAK_GROWTH.value:g})"),
            marks=[thresholds.LEAK_GROWTH],
            empty="none",
        ),
        number(
            "Nearest limit",
            "Working set over memory limit of the fullest instance.",
            RATIO,
            Query(limit_share("service", SERVICE).replace("max by (service)", "max", 1)),
            marks=[thresholds.MEMORY_HIGH, thresholds.MEMORY_CRITICAL],
            empty="no limits",
        ),
        number(
            "First limit met in",
            "Forecast time until the first instance meets its memory limit.",
            SECONDS,
            Query(f"min({eta})"),
            marks=[thresholds.LIMIT_NEAR, thresholds.LIMIT_IMMINENT],
            empty="not foreseen",
        ),
        rows(
            "Leaking sites",
            "Where leaked objects are allocated and how fast they grow; the leaks dashboard shows more.",
            BYTES_PER_SECOND,
            Query(
                "sort_desc(max by (service, version, code_function_name, code_file_path, code_line_number)"
                f" ({leaks}))"
            ),
            {
                "service": "Service",
                "version": "Version",
                "code_function_name": "Function",
                "code_file_path": "File",
                "code_line_number": "Line",
                "Value": "Growth",
            },
        ),
    ]


def _memory() -> list[AnyPanel]:
    return [
        graph(
            "Memory by service",
            "Resident memory of all instances of a service.",
            BYTES,
            [Query(f"sum by (service) ({series('process.memory.usage', SERVICE)})", "{{service}}")],
            stacked=True,
        ),
        graph(
            "Memory limit used",
            "Working set over memory limit, of each service's fullest instance.",
            RATIO,
            [Query(limit_share("service", SERVICE), "{{service}}")],
            marks=[thresholds.MEMORY_HIGH, thresholds.MEMORY_CRITICAL],
        ),
        graph(
            "Growth",
            "Growth of each service's fastest growing instance, as the analyzer measures it.",
            BYTES_PER_SECOND,
            [Query(f"max by (service) ({series('heapwatch.memory.growth', SERVICE)})", "{{service}}")],
            marks=[thresholds.MEMORY_GROWTH],
        ),
        graph(
            "Fragmentation",
            "Memory held and unused over memory held by the allocators, of each service's worst instance.",
            RATIO,
            [Query(f"max by (service) ({series('heapwatch.memory.fragmentation', SERVICE)})", "{{service}}")],
            marks=[thresholds.FRAGMENTATION],
        ),
    ]


def _felt() -> list[AnyPanel]:
    kills = series("heapwatch.container.memory.events", SERVICE + ', heapwatch_event="oom_kill"')
    requests = rate("http.server.request.duration", SERVICE, "count")
    return [
        graph(
            "Requests",
            "HTTP requests served per second.",
            PER_SECOND,
            [Query(f"sum by (service) ({requests})", "{{service}}")],
        ),
        graph(
            "Slow requests",
            "95th percentile of the duration of HTTP requests.",
            SECONDS,
            [Query(quantile(0.95, "http.server.request.duration", "service", SERVICE), "{{service}}")],
        ),
        graph(
            "Garbage collection pauses",
            "99th percentile of the pauses of each service's slowest generation.",
            SECONDS,
            [
                Query(
                    "max by (service) ("
                    + quantile(0.99, "heapwatch.gc.pause", "service, cpython_gc_generation", SERVICE)
                    + ")",
                    "{{service}}",
                )
            ],
            marks=[thresholds.GC_PAUSE_LONG, thresholds.GC_PAUSE_SEVERE],
        ),
        graph(
            "Processes killed for lack of memory",
            "Kills by the kernel in the last ten minutes.",
            COUNT,
            [Query(f"max by (service) (increase({kills}[10m]))", "{{service}}")],
            marks=[thresholds.OUT_OF_MEMORY],
            span=HALF,
        ),
    ]
