"""Points that the test chooses."""

from __future__ import annotations

import pytest
from heapwatch.bridges.readings import FRESH, Readings
from heapwatch.failures import Failures
from heapwatch_wire.otlp import Point


class Script:
    """Readings whose points the test sets; each `read` finds a second passed."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.failures = Failures()
        self.reads = 0
        self._now = 0.0
        self.readings = Readings(self._read, self.failures, self._clock)

    def _read(self) -> list[Point]:
        self.reads += 1
        return list(self.points)

    def _clock(self) -> float:
        self._now += FRESH
        return self._now


@pytest.fixture
def script() -> Script:
    return Script()
