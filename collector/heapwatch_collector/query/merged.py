"""A merged profile as pprof, for tools that read that."""

from __future__ import annotations

from collections.abc import Iterable

from heapwatch_wire.proto import Profile
from heapwatch_wire.sites import Frame, Stack


def to_pprof(type_id: str, stacks: Iterable[tuple[Stack, int]], end: int) -> Profile:
    """One sample per stack, of the one type `type_id`; `end` (Unix ms) becomes the profile's time."""
    builder = _Builder()
    profile = builder.profile
    _, kind, unit, period_type, period_unit = type_id.split(":")
    profile.sample_type.add(type=builder.text(kind), unit=builder.text(unit))
    profile.period_type.type = builder.text(period_type)
    profile.period_type.unit = builder.text(period_unit)
    profile.time_nanos = end * 1_000_000
    for stack, value in stacks:
        profile.sample.add(location_id=[builder.location(frame) for frame in stack], value=[value])
    profile.string_table.extend(builder.strings)
    return profile


class _Builder:
    def __init__(self) -> None:
        self.profile = Profile()
        self.strings: dict[str, int] = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}

    def text(self, value: str) -> int:
        return self.strings.setdefault(value, len(self.strings))

    def location(self, frame: Frame) -> int:
        found = self._locations.get(frame)
        if found is None:
            found = self._locations[frame] = len(self._locations) + 1
            line = {"function_id": self._function(frame), "line": frame.line}
            self.profile.location.add(id=found, line=[line])
        return found

    def _function(self, frame: Frame) -> int:
        key = (frame.function, frame.file)
        found = self._functions.get(key)
        if found is None:
            found = self._functions[key] = len(self._functions) + 1
            # No system name: where that is the name too, Go's pprof takes it for C++ and cuts <module> away.
            name, file = self.text(frame.function), self.text(frame.file)
            self.profile.function.add(id=found, name=name, filename=file)
        return found
