"""The sample types of a profile, and their values as people read them."""

from __future__ import annotations

from dataclasses import dataclass

from heapwatch_wire.pprof import Profile

from heapwatch.cli.units import count, duration, size

_PREFERRED = "inuse_space"
_SECONDS = {"nanoseconds": 1e-9, "microseconds": 1e-6, "milliseconds": 1e-3, "seconds": 1.0}


@dataclass(frozen=True)
class Kind:
    """A sample type: its place among a sample's values, name and unit."""

    index: int
    name: str
    unit: str

    def text(self, value: float) -> str:
        """`value` in this unit: "1.20 MiB", "41,300", "2 min 5 s"."""
        if self.unit == "bytes":
            return size(value)
        if self.unit in _SECONDS:
            return ("-" if value < 0 else "") + duration(abs(value) * _SECONDS[self.unit])
        return count(value)

    def change(self, value: float) -> str:
        """`value` with a plus when it is an increase."""
        return f"{'+' if value > 0 else ''}{self.text(value)}"


def kinds(profile: Profile) -> tuple[Kind, ...]:
    """All sample types of `profile`, in its order."""
    return tuple(Kind(i, name or "?", unit) for i, (name, unit) in enumerate(profile.sample_types))


def choose(profile: Profile, name: str = "") -> Kind:
    """The sample type called `name`; without a name live bytes, else the profile's default, else its last.

    ValueError, naming those that there are, when the profile hasn't got it.
    """
    found = {kind.name: kind for kind in reversed(kinds(profile))}
    if not found:
        raise ValueError("the profile has no sample types")
    if name and name not in found:
        raise ValueError(f"the profile has no sample type {name!r}, but {', '.join(sorted(found))}")
    last = kinds(profile)[-1]
    return found.get(name) or found.get(_PREFERRED) or found.get(profile.default_sample_type) or last


def objects_of(profile: Profile, kind: Kind) -> Kind | None:
    """The sample type that counts the objects whose bytes `kind` adds up; None when there is none."""
    wanted = kind.name.replace("_space", "_objects")
    if wanted == kind.name:
        return None
    return next((other for other in kinds(profile) if other.name == wanted), None)
