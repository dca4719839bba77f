"""What grew and shrank between two profiles, by allocation site, with the sampling error of each change."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import Frame, responsible, site_id

from heapwatch.cli.render import site_table
from heapwatch.cli.units import count
from heapwatch.report.kinds import Kind, choose, kinds, objects_of
from heapwatch.report.sites import stacks
from heapwatch.report.text import printable

TOP = 25
CONFIDENCE = 0.95
_DEVIATIONS = 1.96


@dataclass
class Change:
    """A site in both profiles; bytes (or whatever the sample type counts) and objects.

    `before_variance` and `after_variance` are those of the estimates by sampling.
    """

    frame: Frame
    before: int = 0
    after: int = 0
    before_objects: int = 0
    after_objects: int = 0
    before_variance: float = 0.0
    after_variance: float = 0.0

    @property
    def value(self) -> int:
        return self.after - self.before

    @property
    def objects(self) -> int:
        return self.after_objects - self.before_objects

    @property
    def error(self) -> float:
        """Half of the 95% interval of `value`, as if the two profiles were of different processes; what lived
        through both in one process was drawn once, so that its true error is smaller."""
        return _DEVIATIONS * math.sqrt(self.before_variance + self.after_variance)


class Comparison:
    """Two profiles and the sample type by which they are compared.

    ValueError when one of them hasn't got the type `name` (default: as `kinds.choose`, of the second).
    """

    def __init__(self, before: Profile, after: Profile, name: str = "") -> None:
        self.kind = choose(after, name)
        self._kinds = (choose(before, self.kind.name), self.kind)
        self._profiles = (before, after)

    def shared(self) -> list[tuple[Kind, Kind]]:
        """The sample types that both have, in each of them; the chosen one first."""
        old = {kind.name: kind for kind in kinds(self._profiles[0])}
        pairs = [(old[kind.name], kind) for kind in kinds(self._profiles[1]) if kind.name in old]
        return sorted(pairs, key=lambda pair: pair[1] != self.kind)

    def changes(self) -> list[Change]:
        """All sites, the largest change first."""
        found: dict[Frame, Change] = {}
        for i, (profile, kind) in enumerate(zip(self._profiles, self._kinds, strict=True)):
            for stack, (value, objects) in stacks(profile, kind, objects_of(profile, kind)):
                frame = responsible(stack)
                change = found.setdefault(frame, Change(frame))
                _add(change, i == 1, value, objects, _variance(value, objects, profile.period, kind))
        return sorted(found.values(), key=lambda c: (-abs(c.value), -c.after, c.frame))

    def table(self) -> str:
        """Totals and the sites that changed most; lines of at most 100 columns."""
        every = self.changes()
        before, after = sum(c.before for c in every), sum(c.after for c in every)
        changed = [c for c in every if c.value or c.objects]
        shown = changed[:TOP]
        cells = [
            (
                self.kind.change(c.value),
                f"±{self.kind.text(c.error)}" if c.error else "-",
                self.kind.text(c.before),
                self.kind.text(c.after),
                f"{'+' if c.objects > 0 else ''}{count(c.objects)}",
            )
            for c in shown
        ]
        heading = f"{self.kind.name}: {self.kind.text(before)} before, {self.kind.text(after)} after"
        parts = [f"{heading}, {self.kind.change(after - before)}", ""]
        if not changed:
            return "\n".join([*parts, "nothing changed"])
        parts.append(
            site_table(
                (">change", ">±", ">before", ">after", ">objects"), cells, [printable(c.frame) for c in shown]
            )
        )
        if len(changed) > len(shown):
            parts.append(f"... and {count(len(changed) - len(shown))} sites more that changed")
        if any(c.error for c in shown):
            parts.append("\n±: 95% of what sampling alone does to two processes that are alike")
        return "\n".join(parts)

    def to_json(self) -> str:
        """All sites with exact values."""
        every = self.changes()
        document = {
            "type": self.kind.name,
            "unit": self.kind.unit,
            "before": sum(c.before for c in every),
            "after": sum(c.after for c in every),
            "confidence": CONFIDENCE,
            "sites": [_as_json(change) for change in every],
        }
        return json.dumps(document, indent=2) + "\n"


def _as_json(change: Change) -> dict[str, str | int | float]:
    return {
        "id": site_id(change.frame),
        **change.frame._asdict(),
        "before": change.before,
        "after": change.after,
        "change": change.value,
        "error": change.error,
        "before_objects": change.before_objects,
        "after_objects": change.after_objects,
    }


def _add(change: Change, after: bool, value: int, objects: int, variance: float) -> None:
    if after:
        change.after += value
        change.after_objects += objects
        change.after_variance += variance
    else:
        change.before += value
        change.before_objects += objects
        change.before_variance += variance


def _variance(value: int, objects: int, interval: int, kind: Kind) -> float:
    """Of an estimate of `value` bytes in `objects` blocks, taken to be of one size s.

    Each block is sampled with p = 1 - exp(-s/interval) and counts s/p when it is, so its variance is
    s^2 (1 - p) / p (Horvitz-Thompson); the sum over value / s blocks is value s (1 - p) / p.
    """
    if kind.unit != "bytes" or interval <= 0 or value <= 0 or objects <= 0:
        return 0.0
    block = value / objects
    p = -math.expm1(-block / interval)
    return value * block * (1 - p) / p if p > 0 else value * float(interval)
