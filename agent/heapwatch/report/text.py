"""A profile as text: the top table for people, folded stacks and JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from heapwatch_wire.evidence import Call
from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import Frame

from heapwatch.cli.render import place, site_table
from heapwatch.cli.table import WIDTH
from heapwatch.cli.units import count, share, size
from heapwatch.report.kinds import Kind, kinds, objects_of
from heapwatch.report.sites import heaviest, lines, stacks

TOP = 25
TOP_STACKS = 5
_FRAMES_SHOWN = 8


def table(profile: Profile, kind: Kind) -> str:
    """What is in the profile, the top lines, the heaviest stacks; lines of at most 100 columns."""
    objects = objects_of(profile, kind)
    ordered = lines(profile, kind, objects)
    total = sum(line.flat for line in ordered)
    shown = [line for line in ordered if line.flat or line.total][:TOP]
    cells, running = [], 0
    for line in shown:
        running += line.flat
        numbers = [kind.text(line.flat), _share(line.flat, total), _share(running, total)]
        numbers += [kind.text(line.total), _share(line.total, total)]
        cells.append([*numbers, count(line.objects)] if objects else numbers)
    header = [">flat", ">flat%", ">sum%", ">cum", ">cum%", *([">objects"] if objects else [])]
    rest = len(ordered) - len(shown)
    parts = [
        _heading(profile, kind, total),
        site_table(header, cells, [printable(line.frame) for line in shown]),
        *([f"... and {count(rest)} lines more"] if rest else []),
        "",
        *_stack_texts(profile, kind, objects, total),
    ]
    return "\n".join(parts).rstrip()


def folded(profile: Profile, kind: Kind) -> str:
    """One line for each stack: its frames from the outermost in, split by ";", a space, the value."""
    pairs = stacks(profile, kind, None)
    folded = sorted((";".join(map(_folded, reversed(stack))), value) for stack, (value, _) in pairs)
    return "".join(f"{stack} {value}\n" for stack, value in folded if value > 0)


def to_json(profile: Profile, kind: Kind) -> str:
    """Lines and stacks with exact values; stacks are numbers of `frames`, the innermost first."""
    objects = objects_of(profile, kind)
    pairs = list(stacks(profile, kind, objects))
    numbers: dict[Frame, int] = {}
    for stack, _ in pairs:
        for frame in stack:
            numbers.setdefault(frame, len(numbers))
    document = {
        "type": kind.name,
        "unit": kind.unit,
        "types": [{"name": k.name, "unit": k.unit} for k in kinds(profile)],
        "time": profile.time_nanos / 1e9,
        "interval": profile.period,
        "total": sum(values[0] for _, values in pairs),
        "sites": [
            {**line.frame._asdict(), "flat": line.flat, "cumulative": line.total, "objects": line.objects}
            for line in lines(profile, kind, objects)
        ],
        "frames": [frame._asdict() for frame in numbers],
        "stacks": [
            {"value": values[0], "objects": values[1], "frames": [numbers[f] for f in stack]}
            for stack, values in heaviest(pairs, len(pairs))
        ],
    }
    return json.dumps(document) + "\n"


def _heading(profile: Profile, kind: Kind, total: int) -> str:
    parts = [f"{kind.name}: {kind.text(total)} in {count(len(profile.samples))} samples"]
    if profile.period > 0 and kind.unit == "bytes":
        parts.append(f"one per {size(profile.period)} on average")
    if profile.time_nanos > 0:
        parts.append(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(profile.time_nanos / 1e9)))
    others = [other.name for other in kinds(profile) if other != kind]
    return ", ".join(parts) + (f"\nalso in it: {', '.join(others)}\n" if others else "\n")


def _stack_texts(profile: Profile, kind: Kind, objects: Kind | None, total: int) -> Iterator[str]:
    for stack, (value, number) in heaviest(list(stacks(profile, kind, objects)), TOP_STACKS):
        in_objects = f" in {count(number)} objects" if objects else ""
        yield f"{kind.text(value)} ({_share(value, total)}){in_objects}"
        yield from (f"    {place(printable(frame), WIDTH - 4)}" for frame in stack[:_FRAMES_SHOWN])
        if len(stack) > _FRAMES_SHOWN:
            yield f"    ... and {len(stack) - _FRAMES_SHOWN} callers more"


def printable(frame: Frame) -> Call:
    """`frame` without characters that a terminal would obey: names come from whoever made the profile."""
    function, file = ("".join(c if c.isprintable() else "?" for c in text) for text in frame[:2])
    return Call(function, file, frame.line)


def _share(value: float, total: float) -> str:
    return share(value / total) if total else "-"


def _folded(frame: Frame) -> str:
    return " ".join(str(frame).replace(";", ":").split())
