"""The evidence document as plain text: 100 columns, no colour, the answer first."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from heapwatch_wire.evidence import Call, Evidence, Forecast, Holder, Site
from heapwatch_wire.native import OUTSIDE_ID

from heapwatch.cli.table import WIDTH, cut_left, table
from heapwatch.cli.units import count, duration, moment, share, signed_size, size

_LABEL = 12
_ROOTS = {
    "module": "a module's global",
    "class": "a class attribute",
    "thread": "a thread",
    "frame": "a running function",
    "generator": "a suspended generator or coroutine",
    "C": "C code, out of Python's sight",
    "unknown": "not found",
}
_STACK_SHOWN = 8
_PART_SHOWN = 0.01
_MARKER = re.compile(r" *(- |<?\d+%  )? *")


def evidence_text(evidence: Evidence) -> str:
    """All of `evidence`, lines of at most 100 columns: what leaks and where, then proof, then the change."""
    sections = [
        _title(evidence),
        _headline(evidence),
        _entry("growth", _growth(evidence)),
        _entry("live now", _live(evidence)),
        _entry("where", _where(evidence.site)),
        _entry("parts", _parts(evidence)),
        _entry("may be", [", ".join(evidence.suspects)] if evidence.suspects else []),
        _entry("type", [evidence.type] if evidence.type else []),
        _entry("held by", _holders(evidence.holders)),
        _entry("made by", _shares(evidence)),
        _entry("limit", _forecast(evidence.forecast, evidence.time)),
        _entry("change", _change(evidence)),
        _entry("evidence", _proof(evidence)),
        _entry("stack", _stack(evidence.site.stack)),
        _entry("see", [f"{name}: {address}" for name, address in evidence.links.items()]),
    ]
    return "\n".join(section for section in sections if section)


def evidence_table(documents: Sequence[Evidence]) -> str:
    """One line for each document, the fastest growth first."""
    header = (">#", "verdict", ">per minute", ">live", ">objects", "type")
    ordered = sorted(documents, key=lambda d: -d.growth.bytes_per_second)
    rows = [
        (
            str(number),
            "LEAK" if document.verdict == "leak" else document.verdict,
            signed_size(document.growth.bytes_per_second * 60),
            size(document.live_bytes),
            count(document.live_objects),
            cut_left(document.type or ("-" if document.parts else "?"), 28),
        )
        for number, document in enumerate(ordered, 1)
    ]
    return site_table(header, rows, [d.site for d in ordered])


def site_table(header: Sequence[str], rows: Sequence[Sequence[str]], sites: Sequence[Site | Call]) -> str:
    """A table whose last column, in the room that is left, says where each row's site is."""
    used = max(len(line) for line in table(header, rows).splitlines())
    places = [place(site, WIDTH - used - 2) for site in sites]
    return table([*header, "allocated at"], [[*row, where] for row, where in zip(rows, places, strict=True)])


def holders_text(site: Site, type: str, holders: Sequence[Holder], reasons: Sequence[str]) -> str:
    """What holds the objects of `site`."""
    sections = [
        f"{place(site)}\n",
        _entry("type", [type] if type else []),
        _entry("held by", _holders(holders)),
        _entry("evidence", [f"- {reason}" for reason in reasons]),
    ]
    return "\n".join(section for section in sections if section)


def place(site: Site | Call, width: int = WIDTH) -> str:
    """ "function (file:line)" in at most `width` columns; the file loses its beginning first."""
    tail = f":{site.line})" if site.line else ")"
    room = max(12, width - len(site.function) - len(tail) - 2)
    return f"{site.function} ({cut_left(short_path(site.file), room)}{tail}"


def short_path(file: str) -> str:
    """`file` without what comes before an installed package's name."""
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in file:
            return file.rpartition(mark)[2]
    return file


def _title(evidence: Evidence) -> str:
    name = " ".join(filter(None, (evidence.service, evidence.version)))
    word = "LEAK" if evidence.verdict == "leak" else "SUSPICION (growing, not yet proved a leak)"
    title = f"{word} in {name}" if name else word
    return f"{title}\n{'=' * min(len(title), WIDTH)}"


def _headline(evidence: Evidence) -> str:
    if evidence.parts:
        return "The process takes more and more memory that no sampled line of Python asks for.\n"
    objects = f"{evidence.type} objects" if evidence.type else "memory"
    text = f"{place(evidence.site, 60)} makes {objects} that nothing frees."
    if evidence.verdict != "leak":
        text = f"{place(evidence.site, 60)} makes more and more {objects}."
    return textwrap.fill(text, WIDTH, break_on_hyphens=False) + "\n"


def _growth(evidence: Evidence) -> Iterator[str]:
    growth = evidence.growth
    low, high = (signed_size(v * 60) for v in (growth.low, growth.high))
    rate = growth.bytes_per_second
    yield (
        f"{signed_size(rate * 60)} a minute, {signed_size(rate * 3600)} an hour"
        f"  ({share(growth.confidence)} sure: {low} to {high} a minute)"
    )
    where = "" if evidence.instances == 1 else f"in {evidence.growing} of {evidence.instances} processes"
    objects = "" if evidence.parts else f"{count(growth.objects_per_second * 60)} objects a minute"
    if objects or where:
        yield ", ".join(filter(None, [objects, where]))


def _live(evidence: Evidence) -> Iterator[str]:
    objects = "" if evidence.parts else f" in {count(evidence.live_objects)} objects"
    yield size(evidence.live_bytes) + objects


def _parts(evidence: Evidence) -> Iterator[str]:
    for part in evidence.parts:
        if abs(part.bytes_per_second) < _PART_SHOWN * evidence.growth.bytes_per_second:
            continue
        rate = signed_size(part.bytes_per_second * 60)
        yield f"{rate:>11} a minute  {part.name}, now {size(part.bytes)}"


def _where(site: Site) -> Iterator[str]:
    if site.id == OUTSIDE_ID:
        return
    yield place(site, WIDTH - _LABEL)
    if site.caller and (site.caller.file, site.caller.line) != (site.file, site.line):
        yield f"your code: {place(site.caller, WIDTH - _LABEL - 11)}"


def _holders(holders: Iterable[Holder]) -> Iterator[str]:
    for holder in holders:
        yield f"{share(holder.share):>4}  {holder.path}"
        yield f"      ends at {_ROOTS[holder.root]}"
        if holder.types:
            yield "      " + " > ".join(holder.types)


def _shares(evidence: Evidence) -> Iterator[str]:
    for endpoint in evidence.endpoints:
        yield f"{share(endpoint.share):>4}  {endpoint.name or 'outside of requests'}"


def _forecast(forecast: Forecast | None, now: float) -> Iterator[str]:
    if forecast is None:
        return
    latest = "it may never come" if forecast.high is None else f"at the latest in {duration(forecast.high)}"
    yield (
        f"{size(forecast.limit)} is met in {duration(forecast.seconds)}, at "
        f"{moment(now + forecast.seconds, now)}; now {size(forecast.current)}"
    )
    yield f"{share(forecast.confidence)} sure: in {duration(forecast.low)} at the earliest, {latest}"


def _change(evidence: Evidence) -> Iterator[str]:
    advice = evidence.recommendation
    if advice is None:
        return
    yield advice.title
    yield advice.text
    if advice.saves_bytes_per_hour > 0:
        yield f"Saves {size(advice.saves_bytes_per_hour)} an hour."


def _proof(evidence: Evidence) -> Iterator[str]:
    for reason in evidence.reasons:
        yield f"- {reason}"
    if not evidence.reasons:
        for name, value in evidence.statistics.items():
            limit = evidence.thresholds.get(name)
            yield f"- {name} {value:.4g}" + (f" (threshold {limit:.4g})" if limit is not None else "")


def _stack(stack: Sequence[Call]) -> Iterator[str]:
    for call in stack[:_STACK_SHOWN]:
        yield place(call, WIDTH - _LABEL)
    if len(stack) > _STACK_SHOWN:
        yield f"... and {len(stack) - _STACK_SHOWN} callers more"


def _entry(label: str, lines: Iterable[str]) -> str:
    """Lines indented behind `label`, wrapped under their own beginning; "" when there are none."""
    wrapped: list[str] = []
    for line in lines:
        marker = _MARKER.match(line)
        hanging = " " * marker.end() if marker else ""
        wrapped += textwrap.wrap(line, WIDTH - _LABEL, subsequent_indent=hanging, break_on_hyphens=False)
    if not wrapped:
        return ""
    return "\n".join(f"{label if i == 0 else '':<{_LABEL}}{line}" for i, line in enumerate(wrapped))
