"""Profiles in speedscope's file format (https://www.speedscope.app/file-format-schema.json)."""

from __future__ import annotations

import json
from typing import Any

from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import Frame

from heapwatch.report.kinds import Kind, kinds
from heapwatch.report.sites import stacks

_UNITS = {"bytes", "nanoseconds", "microseconds", "milliseconds", "seconds"}


class _Frames(dict[Frame, int]):
    """Numbers frames in the order in which they are asked for."""

    def __missing__(self, frame: Frame) -> int:
        self[frame] = number = len(self)
        return number


def speedscope(profile: Profile, kind: Kind, title: str) -> str:
    """`profile` as a speedscope file: one view for each sample type, `kind` the one that is shown first."""
    frames = _Frames()
    views = [_view(profile, each, frames) for each in kinds(profile)]
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": title,
        "exporter": "heapwatch",
        "activeProfileIndex": kind.index,
        "shared": {"frames": [_frame(frame) for frame in frames]},
        "profiles": views,
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _view(profile: Profile, kind: Kind, frames: _Frames) -> dict[str, Any]:
    pairs = [(stack, value) for stack, (value, _) in stacks(profile, kind, None) if value > 0]
    return {
        "type": "sampled",
        "name": kind.name,
        "unit": kind.unit if kind.unit in _UNITS else "none",
        "startValue": 0,
        "endValue": sum(value for _, value in pairs),
        "samples": [[frames[frame] for frame in reversed(stack)] for stack, _ in pairs],
        "weights": [value for _, value in pairs],
    }


def _frame(frame: Frame) -> dict[str, Any]:
    described: dict[str, Any] = {"name": frame.function}
    if frame.file:
        described["file"] = frame.file
    if frame.line > 0:
        described["line"] = frame.line
    return described
