"""Growth of a process that no line of Python explains: one site of its own, in the one evidence schema.

Of it the word "leak" is never used: what isn't sampled may as well be fragmentation, or a buffer that fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from heapwatch_wire.evidence import Evidence, Growth, Part, Recommendation, Site
from heapwatch_wire.sites import Frame, site_id

OUTSIDE = Frame("memory outside Python", "[native]", 0)
"""Stands for all memory that Python's allocators haven't given out."""
OUTSIDE_ID = site_id(OUTSIDE)


def outside_site() -> Site:
    """The site of documents on such growth."""
    return Site(OUTSIDE_ID, *OUTSIDE)


def advice(native_mode: bool, suspects: Sequence[str]) -> Recommendation:
    """What to do next; `native_mode` says whether C code's memory is sampled already."""
    if native_mode:
        return Recommendation(
            "Look past malloc",
            "Native mode is on, so what C code asks of malloc is among the sampled lines, and they don't "
            "grow by as much. The rest is fragmentation, or memory that a library maps itself: `heapwatch "
            "memory PID` says which, `heapwatch trim PID` gives free memory back, and `heapwatch run "
            "--malloc jemalloc` replaces an allocator that keeps too much.",
        )
    first = f" Extension modules that may make it: {', '.join(suspects)}." if suspects else ""
    return Recommendation(
        "Switch native mode on",
        "Start the service by `heapwatch run --native -- COMMAND`: what C code asks of malloc is then "
        "sampled, too, and named by the line of Python that called it and the library that asked." + first,
    )


def joined(documents: Sequence[Evidence], instances: int) -> Evidence:
    """One document from those of several of `instances` processes, at least one: growth and parts add up."""
    first = max(documents, key=lambda d: d.growth.bytes_per_second)
    return replace(
        first,
        live_bytes=sum(d.live_bytes for d in documents),
        growth=Growth.total([d.growth for d in documents]),
        instances=instances,
        growing=len(documents),
        series=first.series if len(documents) == 1 else (),
        parts=_added(documents),
        suspects=tuple(dict.fromkeys(name for d in (first, *documents) for name in d.suspects)),
    )


def _added(documents: Sequence[Evidence]) -> tuple[Part, ...]:
    parts: dict[str, Part] = {}
    for part in (part for document in documents for part in document.parts):
        known = parts.get(part.name, Part(part.name, 0.0, 0.0, part.meaning))
        rate = known.bytes_per_second + part.bytes_per_second
        parts[part.name] = replace(known, bytes=known.bytes + part.bytes, bytes_per_second=rate)
    return tuple(sorted(parts.values(), key=lambda part: -part.bytes_per_second))
