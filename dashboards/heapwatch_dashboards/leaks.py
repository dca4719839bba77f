"""Leaks: the sites, their growth, and the flame graph of what lives and what is allocated."""

from __future__ import annotations

from heapwatch_wire import thresholds

from heapwatch_dashboards.frame import board, finished, section
from heapwatch_dashboards.panels import (
    BYTES,
    BYTES_PER_SECOND,
    AnyPanel,
    flame_graph,
    graph,
    rows,
)
from heapwatch_dashboards.queries import Query, series
from heapwatch_dashboards.sdk import models

_SCOPE = 'service=~"$service", version=~"$version"'
_SITE = "service, version, heapwatch_site, code_function_name, code_file_path, code_line_number"
_LEGEND = "{{code_function_name}} {{code_file_path}}:{{code_line_number}}"

LIVE = "memory:inuse_space:bytes:space:bytes"
ALLOCATED = "memory:alloc_space:bytes:space:bytes"


def build() -> models.Dashboard:
    built = board(
        "heapwatch-leaks",
        "Heapwatch: leaks",
        "Allocation sites that are proved to leak, and what lives on the heap.",
        ["service", "version", "instance"],
    )
    section(built, "Leaking sites", _sites())
    section(built, "The heap", _heap())
    return finished(built)


def _sites() -> list[AnyPanel]:
    growth = series("heapwatch.leak.growth", _SCOPE)
    live = series("heapwatch.leak.live", _SCOPE)
    return [
        rows(
            "Sites",
            "Sites whose growth was proved by their samples. The collector's page has each one's evidence: "
            "type, what holds the objects, forecast, and the change to make.",
            BYTES_PER_SECOND,
            Query(f"sort_desc(max by ({_SITE}) ({growth}))"),
            {
                "service": "Service",
                "version": "Version",
                "code_function_name": "Function",
                "code_file_path": "File",
                "code_line_number": "Line",
                "heapwatch_site": "Site",
                "Value": "Growth",
            },
        ),
        graph(
            "Growth of leaking sites",
            "Growth per second over all instances of a service version.",
            BYTES_PER_SECOND,
            [Query(f"max by ({_SITE}) ({growth})", _LEGEND)],
            marks=[thresholds.LEAK_GROWTH],
        ),
        graph(
            "Live bytes of leaking sites",
            "What lives of each leaking site, over all instances.",
            BYTES,
            [Query(f"max by ({_SITE}) ({live})", _LEGEND)],
            stacked=True,
        ),
    ]


def _heap() -> list[AnyPanel]:
    selector = '{service_name=~"$service", service_version=~"$version", instance=~"$instance"}'
    memory = series("process.memory.usage")
    return [
        graph(
            "Memory of instances",
            "Resident memory: a leak shows as a rise that no quiet hour takes back.",
            BYTES,
            [Query(f"max by (instance) ({memory})", "{{instance}}")],
        ),
        graph(
            "Growth of instances",
            "Growth of each instance's memory, as the analyzer measures it.",
            BYTES_PER_SECOND,
            [Query(f"max by (instance) ({series('heapwatch.memory.growth')})", "{{instance}}")],
            marks=[thresholds.MEMORY_GROWTH],
        ),
        flame_graph(
            "Live heap",
            "Bytes that live, by the stack that allocated them; mean of the time range.",
            LIVE,
            selector,
        ),
        flame_graph(
            "Allocations", "Bytes allocated in the time range, kept or not, by stack.", ALLOCATED, selector
        ),
    ]
