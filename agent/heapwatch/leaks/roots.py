"""Where a chain of references may end: what keeps objects alive by itself."""

from __future__ import annotations

import contextvars
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from heapwatch.leaks.references import (
    OPTIMIZED,
    Step,
    code_name,
    is_a,
    local_variables,
    suspended_frame,
    type_name,
)
from heapwatch.sampler import kept

RootKind = Literal["module", "class", "thread", "frame", "generator", "C", "unknown"]
HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class made by a class statement or by a call."""
OWN_CODE = str(Path(__file__).resolve().parent.parent) + os.sep


class Root(NamedTuple):
    """Where a chain ends: its kind, its name, such as ("module", "app.cache"), and how the next reference
    reads (see `Step.below`).

    `end` says that nothing needs to hold it. What was made at run time (a class in a function, a suspended
    generator, a thread that has ended) is kept by something, which tells more; it is where the chain ends
    only when C code alone keeps it.
    """

    kind: RootKind
    name: str
    below: tuple[str, ...] | None = None
    end: bool = True


class Roots:
    """The roots of this moment. Holds no reference to any of them."""

    def __init__(self) -> None:
        modules = [(n, m) for n, m in list(sys.modules.items()) if is_a(m, types.ModuleType)]
        # A module's own name comes last and so wins over other names it is known by.
        modules.sort(key=lambda item: item[0] == vars(item[1]).get("__name__"))
        self._modules = {id(vars(module)): name for name, module in modules}
        self._threads = set(map(id, dict.values(threading._active)))  # type: ignore[attr-defined]

    def classify(self, holder: object) -> Root | None:
        """The root that `holder` is, None when something else must hold it."""
        if type(holder) is dict and id(holder) in self._modules:
            name = self._modules[id(holder)]
            # What the agent refers to, such as the loggers' manager, somebody else keeps.
            return Root("module", name, below=(), end=name.partition(".")[0] != "heapwatch")
        if is_a(holder, types.ModuleType):
            attributes = vars(cast(types.ModuleType, holder))
            return Root("module", str(attributes.get("__name__", "?")), end=id(attributes) in self._modules)
        if is_a(holder, type):
            kind = cast(type, holder)
            return Root("class", type_name(kind), end=is_static(kind) or _has_its_name(kind))
        if is_a(holder, threading.Thread):
            name = cast(threading.Thread, holder)._name  # type: ignore[attr-defined]
            return Root("thread", f"thread {name!r}", end=id(holder) in self._threads)
        frame = suspended_frame(holder)
        return None if frame is None else Root("generator", "", end=False)


def is_static(kind: type) -> bool:
    """Whether `kind` is part of the interpreter or of an extension module, not made at run time."""
    return not type.__dict__["__flags__"].__get__(kind) & HEAP_TYPE


def _has_its_name(kind: type) -> bool:
    """Whether `kind` is found where its module and qualified name say."""
    module = type.__dict__["__module__"].__get__(kind)
    found = sys.modules.get(module) if type(module) is str else None
    if found is None or not is_a(found, types.ModuleType):
        return False
    inside: Any = vars(found)
    value: object = None
    for name in type.__dict__["__qualname__"].__get__(kind).split("."):
        value = inside.get(name)
        inside = type.__dict__["__dict__"].__get__(value) if is_a(value, type) else {}
    return value is kind


def from_c(held: object) -> Root:
    """What is known of an object that C code holds."""
    handler = next((n for n in signal.Signals if _handles(held, n)), None)
    if handler is not None:
        return Root("module", f"signal.getsignal({handler.name})")
    given = next((name for name, obj in kept() if obj is held), "")
    if given:
        return Root("module", f"{given}(…)")
    if type(held) is contextvars.Context:
        return Root("thread", "the current context of a thread")
    return Root("C", f"C code: {type_name(type(held))}{_name_of_code(held)}")


def _handles(held: object, number: signal.Signals) -> bool:
    return signal.getsignal(number) is held


def _name_of_code(held: object) -> str:
    """The name of a callback: C code that takes one seldom says where."""
    inner = held.__func__ if type(held) is types.MethodType else held
    return f" {inner.__qualname__}" if type(inner) is types.FunctionType else ""


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
            return Root("frame", code_name(frame)), Step(text, text)
    return None


def is_own_file(file: str) -> bool:
    """Whether `file` is one of the agent's: it grows while it learns the service's stacks, then no more."""
    return file.startswith(OWN_CODE)


def is_own(holder: object) -> bool:
    """Whether `holder` is a frame of the agent's code."""
    return type(holder) is types.FrameType and is_own_file(holder.f_code.co_filename)


def _running_frames() -> Iterator[types.FrameType]:
    for top in sys._current_frames().values():
        frame: types.FrameType | None = top
        while frame is not None:
            yield frame
            frame = frame.f_back
