"""What is loaded before a program: the library of native mode, and another allocator in malloc's place."""

from __future__ import annotations

import ctypes.util
import importlib.util
from pathlib import Path

NATIVE = "libheapwatch_native.so"
PACKAGES: dict[str, str] = {"jemalloc": "libjemalloc2", "mimalloc": "libmimalloc2.0"}
"""Allocators that can stand in for malloc, and the Debian packages that have them."""


class CannotPreload(Exception):
    """A library can't be loaded here; the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


def native_library() -> str:
    """The library of native mode, which lies beside the C extension. CannotPreload when it can't be used."""
    spec = importlib.util.find_spec("heapwatch._sampler")
    path = Path(spec.origin or "").with_name(NATIVE) if spec and spec.origin else Path(NATIVE)
    if not path.is_file():
        raise CannotPreload(
            f"there is no native mode in this installation: {NATIVE} is missing",
            "reinstall heapwatch where there is a C compiler, or run without --native",
        )
    if {" ", ":"} & set(str(path)):
        raise CannotPreload(
            f"{path} can't be preloaded, for its name has a blank or a colon in it",
            "install heapwatch in a folder without them",
        )
    return str(path)


def allocator(name: str) -> str:
    """The library of an allocator in PACKAGES. CannotPreload when it isn't on this machine."""
    found = ctypes.util.find_library(name)
    if found is None:
        raise CannotPreload(
            f"{name} is not on this machine",
            f"apt-get install {PACKAGES[name]}, or your system's package of it",
        )
    return found


def preload(*libraries: str, present: str) -> str:
    """LD_PRELOAD with `libraries` first, in their order: native mode must be before any allocator."""
    return ":".join(dict.fromkeys([*libraries, *present.replace(":", " ").split()]))
