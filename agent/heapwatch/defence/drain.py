"""A worker's leave: announced, carried out when nobody is harmed, given up when its server keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from enum import Enum

from heapwatch.defence.exits import Exit

FINISH = 30.0
PATIENCE = 60.0


class Phase(Enum):
    """ANNOUNCED: it serves, and its balancers hear that it will not; FINISHING: it refuses new requests;
    LEAVING: its server was told to end; STAYS: the server didn't."""

    ANNOUNCED = "announced"
    FINISHING = "finishing"
    LEAVING = "leaving"
    STAYS = "stays"


class Drain:
    """Goes on with each `step`. `running` are the requests that run; `leave` is called before an exit that
    gives nobody else a chance to."""

    def __init__(
        self,
        way: Exit,
        running: Sized,
        grace: float,
        leave: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.phase = Phase.ANNOUNCED
        self._way = way
        self._running = running
        self._grace = grace
        self._leave = leave
        self._clock = clock
        self._since = clock()

    @property
    def refuses(self) -> bool:
        """Whether requests that come now would be lost."""
        return self.phase is Phase.FINISHING or (self.phase is Phase.LEAVING and not self._way.graceful)

    def step(self) -> Phase:
        """Go on if it is time; returns the phase."""
        passed = self._clock() - self._since
        if self.phase is Phase.ANNOUNCED and passed >= self._grace:
            self._turn(Phase.LEAVING if self._way.graceful else Phase.FINISHING)
        elif self.phase is Phase.FINISHING and (not self._running or passed >= FINISH):
            self._turn(Phase.LEAVING)
        elif self.phase is Phase.LEAVING and passed >= PATIENCE:
            self._turn(Phase.STAYS)
        return self.phase

    def _turn(self, phase: Phase) -> None:
        self.phase = phase
        self._since = self._clock()
        if phase is Phase.LEAVING:
            if not self._way.graceful:
                self._leave()
            self._way.ask()
