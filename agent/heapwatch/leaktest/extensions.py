"""Which extension module a line calls: asked of a few steps run under a profile function."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from heapwatch_wire.sites import Frame

Place = tuple[str, int]
"""File and line."""


def called_at(places: Iterable[Frame], run: Callable[[], None]) -> dict[Place, str]:
    """By place, the extension module whose functions are called there most while `run` runs."""
    wanted = {(frame.file, frame.line) for frame in places}
    calls: dict[Place, Counter[str]] = defaultdict(Counter)

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call":
            place = (frame.f_code.co_filename, frame.f_lineno)
            if place in wanted:
                calls[place][_module_of(function)] += 1

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {place: best for place, counts in calls.items() if (best := _most(counts))}


def module_of_type(name: str) -> str:
    """The extension module that defines the type "package.module.Type", "" when it is none."""
    module = name.rpartition(".")[0]
    return module if _is_extension(module) else ""


def _most(counts: Counter[str]) -> str:
    return next((module for module, _ in counts.most_common() if _is_extension(module)), "")


def _module_of(function: Any) -> str:
    owner = function.__self__
    kind = owner if isinstance(owner, type) else type(owner)
    return str(function.__module__ or getattr(kind, "__module__", None) or "")


def _is_extension(name: str) -> bool:
    """Whether `name` was loaded from a shared library."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.rpartition("/")[2].endswith(".so")
