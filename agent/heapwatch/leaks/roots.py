"""Where a chain of references may end: what keeps objects alive by itself."""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast

from heapwatch.leaks.references import OPTIMIZED, Step, is_a, local_variables, suspended_frame, type_name

RootKind = Literal["module", "class", "thread", "frame", "generator", "C", "unknown"]
OWN_CODE = str(Path(__file__).resolve().parent.parent) + os.sep


class Root(NamedTuple):
    """An end of a chain: its kind, its name, such as ("module", "app.cache"), and how the next reference
    reads (see `Step.below`)."""

    kind: RootKind
    name: str
    below: tuple[str, ...] | None = None


class Roots:
    """The roots of this moment. Holds no reference to any of them."""

    def __init__(self) -> None:
        modules = [(n, m) for n, m in list(sys.modules.items()) if is_a(m, types.ModuleType)]
        # A module's own name comes last and so wins over other names it is known by.
        modules.sort(key=lambda item: item[0] == vars(item[1]).get("__name__"))
        self._modules = {id(vars(module)): name for name, module in modules}

    def classify(self, holder: object) -> Root | None:
        """The root that `holder` is, None when something else must hold it."""
        if type(holder) is dict and id(holder) in self._modules:
            return Root("module", self._modules[id(holder)], below=())
        if is_a(holder, types.ModuleType):
            return Root("module", str(vars(cast(types.ModuleType, holder)).get("__name__", "?")))
        if is_a(holder, type):
            return Root("class", type_name(cast(type, holder)))
        if is_a(holder, threading.Thread):
            return Root("thread", f"thread {cast(threading.Thread, holder)._name!r}")  # type: ignore[attr-defined]
        return _suspended(holder)


def in_running_frame(held: object) -> tuple[Root, Step] | None:
    """The running function, not one of the agent's, that has `held` as a local variable.

    Running frames are not tracked by the garbage collector, so no pass over the heap finds them.
    """
    for frame in _running_frames():
        if is_own_file(frame.f_code.co_filename) or not frame.f_code.co_flags & OPTIMIZED:
            continue  # Variables of a module's frame are its globals.
        name = next((n for n, value in local_variables(frame) if value is held), None)
        if name is not None:
            text = f", local {name}"
            return Root("frame", _code_name(frame.f_code, frame.f_lineno)), Step(text, text)
    return None


def is_own_file(file: str) -> bool:
    """Whether `file` is one of the agent's: it grows while it learns the service's stacks, then no more."""
    return file.startswith(OWN_CODE)


def is_own(holder: object) -> bool:
    """Whether `holder` is a frame of the agent's code."""
    return type(holder) is types.FrameType and is_own_file(holder.f_code.co_filename)


def _suspended(holder: object) -> Root | None:
    frame = suspended_frame(holder)
    return None if frame is None else Root("generator", _code_name(frame.f_code, frame.f_lineno))


def _code_name(code: types.CodeType, line: int | None) -> str:
    return f"{code.co_qualname} ({code.co_filename}:{line or code.co_firstlineno})"


def _running_frames() -> Iterator[types.FrameType]:
    for top in sys._current_frames().values():
        frame: types.FrameType | None = top
        while frame is not None:
            yield frame
            frame = frame.f_back
