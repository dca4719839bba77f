"""Whose code a frame is: decides its colour."""

from __future__ import annotations

from heapwatch_wire.sites import Frame, is_installed, is_stdlib

OWN, INSTALLED, STANDARD, UNKNOWN = range(4)
NAMES = ("your code", "installed packages", "standard library", "no file known")


def origin(frame: Frame) -> int:
    """One of OWN, INSTALLED, STANDARD, UNKNOWN."""
    if frame.file in ("", "?"):
        return UNKNOWN
    if is_stdlib(frame):
        return STANDARD
    return INSTALLED if is_installed(frame) else OWN
