"""How near a process is to its limit, as a state that doesn't flutter."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from heapwatch_wire.config import ConfigError

HYSTERESIS = 0.05
HOLD = 5.0


class State(IntEnum):
    """OK; SOFT: memory is given back; SHED: optional requests are refused; DRAIN: the worker takes leave."""

    OK = 0
    SOFT = 1
    SHED = 2
    DRAIN = 3


@dataclass(frozen=True)
class Thresholds:
    """Parts of the limit at which states are entered. ConfigError unless each is above the one before."""

    soft: float
    shed: float
    drain: float

    def __post_init__(self) -> None:
        if not self.soft < self.shed < self.drain <= 1:
            raise ConfigError(
                f"defence_soft={self.soft}, defence_shed={self.shed}, defence_drain={self.drain}:"
                " expected each to be larger than the one before, and none above 1"
            )

    @property
    def critical(self) -> float:
        """Half way from draining to the limit."""
        return (1 + self.drain) / 2

    def state(self, used: float) -> State:
        """The state that `used` alone would make."""
        return State(sum(used >= threshold for threshold in (self.soft, self.shed, self.drain)))


class Level:
    """Rises at once; falls when memory has stayed HYSTERESIS below a threshold's level for HOLD seconds."""

    def __init__(self, thresholds: Thresholds, clock: Callable[[], float] = time.monotonic) -> None:
        self.state = State.OK
        self._thresholds = thresholds
        self._clock = clock
        self._needed = clock()

    def look(self, used: float) -> State:
        """The state, now that `used` of the limit is taken."""
        risen = self._thresholds.state(used)
        kept = self._thresholds.state(used + HYSTERESIS)
        now = self._clock()
        if risen > self.state:
            self.state = risen
        if kept >= self.state:
            self._needed = now
        elif now - self._needed >= HOLD:
            self.state = kept
            self._needed = now
        return self.state
