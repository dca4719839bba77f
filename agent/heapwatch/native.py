"""Native mode: the library that is preloaded so that memory of C code is sampled too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

LIBRARY = "libheapwatch_native.so"


class NoNativeMode(Exception):
    """Native mode isn't possible here; the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


def library() -> Path:
    """The library to preload, which lies beside the C extension. NoNativeMode when it can't be used."""
    spec = importlib.util.find_spec("heapwatch._sampler")
    path = Path(spec.origin or "").with_name(LIBRARY) if spec and spec.origin else Path(LIBRARY)
    if not path.is_file():
        raise NoNativeMode(
            f"there is no native mode in this installation: {LIBRARY} is missing",
            "reinstall heapwatch where there is a C compiler, or run without --native",
        )
    if {" ", ":"} & set(str(path)):
        raise NoNativeMode(
            f"{path} can't be preloaded, for its name has a blank or a colon in it",
            "install heapwatch in a folder without them",
        )
    return path


def preload(path: Path, present: str) -> str:
    """LD_PRELOAD with the library at `path` first: another allocator beside it must be behind it."""
    return ":".join(dict.fromkeys([str(path), *present.replace(":", " ").split()]))
