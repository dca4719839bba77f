"""Where in the user's file the child is, in memory that the parent sees too: so it knows what hangs."""

from __future__ import annotations

import mmap
import os
import sys

ELSEWHERE, LOADING, SETUP = -3, -2, -1
"""Instead of the number of a step; ELSEWHERE is code of ours."""
_SIZE = 8


class Position:
    """A number that both processes of a leak test read and write: that of the step that runs.

    `descriptor` is a file of at least eight bytes; it is mapped, and may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._cell = memoryview(mmap.mmap(descriptor, _SIZE)).cast("q")

    @property
    def now(self) -> int:
        """A step's number, ELSEWHERE, LOADING or SETUP."""
        return self._cell[0]

    @now.setter
    def now(self, position: int) -> None:
        self._cell[0] = position


def shared_file() -> int:
    """A descriptor of memory for a `Position`."""
    descriptor = os.memfd_create("heapwatch-leaktest")
    os.write(descriptor, ELSEWHERE.to_bytes(_SIZE, sys.byteorder, signed=True))
    return descriptor


def named(position: int) -> str:
    """What of the user's file runs, for an error."""
    return {LOADING: "loading", SETUP: "setup() of"}.get(position, f"step({position}) of")
