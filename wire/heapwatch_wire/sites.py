"""Frames, stacks and allocation sites: who is named when memory grows."""

from __future__ import annotations

import re
from _blake2 import blake2b  # hashlib would load OpenSSL for it
from collections.abc import Sequence
from typing import NamedTuple

# "<string>" is what namedtuple and dataclasses compile their methods as.
_STDLIB = re.compile(r"(^<(frozen |string>))|(/lib/python3\.\d+t?/(?!site-packages/|dist-packages/))")
_INSTALLED = re.compile(r"/(site|dist)-packages/")
_COMMAND = re.compile(r"/bin/[^/.]+$")
_NATIVE = re.compile(r"\.so(\.[\d.]+)?$")


class Frame(NamedTuple):
    """One call: qualified function name, file as the code object names it, line (1-based, 0 unknown).

    Of native code: function "[native]" or its symbol, file the executable or shared library, line 0.
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{self.line})"


Stack = tuple[Frame, ...]
"""Frames, the innermost (allocating) first."""

UNKNOWN = Frame("?", "?", 0)


def is_stdlib(frame: Frame) -> bool:
    """Whether `frame` belongs to Python's own library."""
    return bool(_STDLIB.search(frame.file))


def is_installed(frame: Frame) -> bool:
    """Whether `frame` belongs to an installed package, or is the body of a command such as bin/gunicorn."""
    return bool(_INSTALLED.search(frame.file)) or (
        frame.function == "<module>" and bool(_COMMAND.search(frame.file))
    )


def is_native(frame: Frame) -> bool:
    """Whether `frame` is native code of an executable or shared library, not a line of Python."""
    return frame.line == 0 and (frame.function == "[native]" or bool(_NATIVE.search(frame.file)))


def responsible(stack: Sequence[Frame]) -> Frame:
    """The innermost frame of Python code outside the standard library: whose line makes the objects.

    The innermost frame of Python code when all of it is standard library, the innermost frame itself when
    all are native; UNKNOWN for an empty stack.
    """
    if not stack:
        return UNKNOWN
    python = [f for f in stack if not is_native(f)] or stack[:1]
    return next((f for f in python if not is_stdlib(f)), python[0])


def own_caller(stack: Sequence[Frame]) -> Frame | None:
    """The innermost frame of the user's own code: neither library, installed package nor native."""
    return next((f for f in stack if not (is_stdlib(f) or is_installed(f) or is_native(f))), None)


def site_id(frame: Frame) -> str:
    """16 hexadecimal digits that name the allocation site `frame` on every instance alike."""
    text = "\0".join((frame.function, frame.file, str(frame.line)))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
