"""The formats of a report, and which one a file's name asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from heapwatch_wire.pprof import Profile

from heapwatch.report.flame import flame
from heapwatch.report.kinds import Kind
from heapwatch.report.speedscope import speedscope
from heapwatch.report.svg import svg
from heapwatch.report.text import folded, table, to_json

_SUFFIXES = {
    ".html": "html",
    ".htm": "html",
    ".svg": "svg",
    ".folded": "folded",
    ".collapsed": "folded",
    ".speedscope.json": "speedscope",
    ".speedscope": "speedscope",
    ".json": "json",
    ".txt": "table",
}

WRITERS: dict[str, Callable[[Profile, Kind, str], str]] = {
    "table": lambda profile, kind, title: table(profile, kind) + "\n",
    "html": flame,
    "svg": svg,
    "folded": lambda profile, kind, title: folded(profile, kind),
    "speedscope": speedscope,
    "json": lambda profile, kind, title: to_json(profile, kind),
}
"""What makes the text of each format of (profile, sample type, title)."""


def by_name(file: str) -> str | None:
    """The format that the name of `file` asks for; None when it asks for none of them."""
    name = PurePath(file).name.lower()
    return next((form for suffix, form in _SUFFIXES.items() if name.endswith(suffix)), None)


SUFFIXES = ", ".join(_SUFFIXES)
