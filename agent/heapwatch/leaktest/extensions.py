"""Which extension module a line calls: asked of a few steps run under a profile function."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, FrameType
from typing import Any

from heapwatch_wire.sites import Frame

Modules = Mapping[Frame, str]
_NAMED = (type, BuiltinFunctionType)


def called_at(sites: Sequence[Frame], run: Callable[[], None]) -> Modules:
    """The extension module that each site's line calls most while `run` runs.

    Where its line calls none, as for operators, the module of a type or function that its code names.
    """
    lines = {(frame.file, frame.line): frame for frame in sites}
    functions = {(frame.file, frame.function) for frame in sites}
    calls: dict[Frame, Counter[str]] = defaultdict(Counter)
    named: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def profile(frame: FrameType, event: str, function: Any) -> None:
        code = frame.f_code
        if event == "c_call":
            site = lines.get((code.co_filename, frame.f_lineno))
            if site is not None:
                calls[site][_module_of(function)] += 1
        elif event == "return" and (code.co_filename, code.co_qualname) in functions:
            known = (frame.f_globals.get(name) for name in code.co_names)
            modules = [str(v.__module__) for v in known if isinstance(v, _NAMED)]
            named[code.co_filename, code.co_qualname].update(modules)

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {site: _most(calls[site]) or _most(named[site.file, site.function]) for site in sites}


def module_of_type(name: str) -> str:
    """The extension module that defines the type "package.module.Type", "" when it is none."""
    module = name.rpartition(".")[0]
    return module if _is_extension(module) else ""


def module_of_library(path: str) -> str:
    """The extension module loaded from the shared library at `path`, else the library's name."""
    if not path:
        return ""
    modules = list(sys.modules.items())
    return next(
        (name for name, m in modules if getattr(m, "__file__", None) == path), path.rpartition("/")[2]
    )


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
