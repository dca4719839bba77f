"""Turns the sampler on in every Python that finds this file on its path, and nothing else.

HEAPWATCH_SAFETY_SAMPLER names the built extension, HEAPWATCH_SAFETY_INTERVAL the mean bytes between samples;
0 leaves it unloaded. Imports nothing that the interpreter hasn't, for tests look at `sys.modules`.
"""

from __future__ import annotations

import _imp
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

DEPTH = 128
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any


def _load(path: str) -> Any:
    spec = ModuleSpec("_sampler", ExtensionFileLoader("_sampler", path), origin=path)
    module = _imp.create_dynamic(spec)
    _imp.exec_dynamic(module)
    return module


def _start() -> Any:
    from os import environ  # loaded by site already

    interval = int(environ.get("HEAPWATCH_SAFETY_INTERVAL", "0"))
    if not interval:
        return None
    try:
        module = _load(environ["HEAPWATCH_SAFETY_SAMPLER"])
        module.start(interval, DEPTH)
    except (ImportError, RuntimeError) as error:  # a subinterpreter: the sampler says that it isn't for it
        if "interpreter" not in str(error):
            raise
        return None
    return module


sampler = _start()
