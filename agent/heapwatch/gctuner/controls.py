"""The collector's switches, and what they were before somebody turned them."""

from __future__ import annotations

import gc

Thresholds = tuple[int, int, int]


class Controls:
    """Sets thresholds and freezes, remembers how things were, and gives them back.

    Automatic collection is never switched off here: a threshold is a bound that CPython itself enforces,
    so that a process whose tuner dies still collects. One of these outlives all tuners of a process.
    """

    def __init__(self) -> None:
        self._before: Thresholds | None = None
        self._ours: Thresholds | None = None
        self.count_frozen()

    @property
    def natural(self) -> Thresholds:
        """The thresholds without us."""
        return self._before or gc.get_threshold()

    @property
    def current(self) -> Thresholds:
        """The thresholds as they are."""
        return gc.get_threshold()

    @property
    def disturbed(self) -> bool:
        """Whether the service has set thresholds since we did, or has switched automatic collection off."""
        return not gc.isenabled() or (self._ours is not None and gc.get_threshold() != self._ours)

    def hold(self, thresholds: Thresholds) -> None:
        """Set `thresholds` until `restore`."""
        if self._before is None:
            self._before = gc.get_threshold()
        gc.set_threshold(*thresholds)
        self._ours = thresholds

    def restore(self) -> bool:
        """Give the thresholds back, unless the service has changed them itself; whether there was need."""
        before, ours = self._before, self._ours
        self._before = self._ours = None
        if before is None or gc.get_threshold() != ours:
            return False
        gc.set_threshold(*before)
        return True

    def freeze(self) -> int:
        """Take all objects out of the collector's sight; returns how many are out of it now."""
        gc.freeze()
        return self.count_frozen()

    def count_frozen(self) -> int:
        """Look how many objects are frozen: some 10 ns for each of them."""
        self.frozen = gc.get_freeze_count()
        return self.frozen

    def unfreeze(self) -> None:
        """Bring all frozen objects back into the oldest generation."""
        gc.unfreeze()
        self.frozen = 0
