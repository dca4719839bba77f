"""Which requests run at this moment, known without a lock."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class InFlight:
    """Requests that have begun and not ended, in all threads.

    A step is one operation of a dict or of itertools.count, which the interpreter doesn't interrupt; so
    counting takes no lock that a fork or a collection could find taken.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.running: dict[int, None] = {}
        self.begun = 0
        self.last_ended = 0.0
        self.on_boundary: Callable[[int], None] | None = None

    def clear(self) -> None:
        """Forget what ran, as in a child after fork."""
        self.running.clear()

    def enter(self) -> int:
        """A request begins; returns its number."""
        number = next(self._numbers)
        self.running[number] = None
        self.begun = number
        return number

    def leave(self, number: int, now: float) -> None:
        """The request `number` ends at this time.monotonic(); again does nothing."""
        self.running.pop(number, None)
        self.last_ended = now

    def boundary(self) -> None:
        """A response is out: whoever listens is told how many requests run still."""
        listener = self.on_boundary
        if listener is not None:
            listener(len(self.running))
