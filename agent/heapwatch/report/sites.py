"""Lines of code by what they allocate themselves and together with what they call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import UNKNOWN, Frame, Stack

from heapwatch.report.kinds import Kind


@dataclass
class Line:
    """Values of one line: `flat` what it allocates itself, `total` with all it calls; `objects` are flat."""

    frame: Frame
    flat: int = 0
    total: int = 0
    objects: int = 0


def lines(profile: Profile, kind: Kind, objects: Kind | None) -> list[Line]:
    """All lines of `profile`, by flat value, the largest first. A line that calls itself counts once."""
    found: dict[Frame, Line] = {}
    for stack, values in stacks(profile, kind, objects):
        for frame in set(stack):
            found.setdefault(frame, Line(frame)).total += values[0]
        line = found[stack[0]]
        line.flat += values[0]
        line.objects += values[1]
    return sorted(found.values(), key=lambda line: (-line.flat, -line.total, line.frame))


def stacks(profile: Profile, kind: Kind, objects: Kind | None) -> Iterator[tuple[Stack, tuple[int, int]]]:
    """Each stack once, whatever its labels, with its value and its number of objects (0 when not known)."""
    merged: dict[Stack, list[int]] = {}
    for sample in profile.samples:
        known = merged.setdefault(sample.stack or (UNKNOWN,), [0, 0])
        known[0] += sample.values[kind.index]
        known[1] += sample.values[objects.index] if objects else 0
    return ((stack, (values[0], values[1])) for stack, values in merged.items())


def heaviest(
    pairs: Sequence[tuple[Stack, tuple[int, int]]], limit: int
) -> list[tuple[Stack, tuple[int, int]]]:
    """At most `limit` of the stacks, the largest first."""
    return sorted((p for p in pairs if p[1][0]), key=lambda pair: (-pair[1][0], pair[0]))[:limit]
