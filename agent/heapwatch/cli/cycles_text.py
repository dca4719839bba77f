"""Reference cycles as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from heapwatch_wire.evidence import Site, from_json

from heapwatch.cli.render import place
from heapwatch.cli.table import WIDTH
from heapwatch.cli.units import count, duration, share, size

CYCLES_SHOWN = 3


def cycles_text(answer: Mapping[str, Any]) -> str:
    """What full collections freed in a process, the site with most first."""
    times, seconds = answer["collections"], duration(answer["seconds"])
    lines = [
        f"process {answer['pid']}: {count(times)} full collection{'s' * (times != 1)} in {seconds},"
        f" which freed {count(answer['collected'])} objects"
    ]
    if not times:
        lines.append("Watch for longer (--cycles 60), or run one: --cycles --collect.")
    elif not answer["sites"]:
        lines.append("Nothing that was sampled had waited for them.")
    if answer["uncollectable"]:
        kinds = ", ".join(f"{count(n)} {kind}" for kind, n in answer["uncollectable"].items())
        lines.append(f"never freed, in gc.garbage: {kinds}")
    for number, site in enumerate(answer["sites"], 1):
        lines += ["", *_site(number, site)]
    return "\n".join(lines)


def _site(number: int, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"#{number}  {place(from_json(Site, found['site']))}"
    yield (
        f"    freed {size(found['bytes'])} in {count(found['objects'])} blocks, {share(found['share'])} of"
        " all that was freed of this line meanwhile"
    )
    if found["type"]:
        yield f"    type {found['type']}"
    for cycle in found["cycles"][:CYCLES_SHOWN]:
        yield from _wrapped("cycle  ", cycle["path"])
        yield from _wrapped("change ", cycle["change"])
        if cycle["finalizers"]:
            yield from _wrapped("       ", f"__del__ is called for {', '.join(cycle['finalizers'])}")
    if not found["cycles"]:
        yield from _wrapped("       ", "no object of it waits in a cycle now: watch while there is load")


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"    {label}", subsequent_indent=" " * 11, break_on_hyphens=False
    )
