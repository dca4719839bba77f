"""Work on a schedule that its own cost stretches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Says when work is due: every `interval` seconds, or less often when it would cost more than `share`
    of a core's time, but at least every `longest` seconds. `times` and `cpu` add up what was done."""

    def __init__(self, interval: float, share: float, longest: float) -> None:
        self._interval = interval
        self._share = share
        self._longest = longest
        self._due = 0.0
        self.times = 0
        self.cpu = 0.0

    def due(self, now: float) -> bool:
        """Whether the work is due at `now` (Unix seconds)."""
        # A clock that was set back must not stop the work.
        return now >= self._due or now < self._due - 3600

    @contextmanager
    def work(self, now: float) -> Iterator[None]:
        """Measure a block of work that begins at `now` and schedule the next."""
        started = time.thread_time()
        try:
            yield
        finally:
            self.spent(now, time.thread_time() - started)

    def spent(self, now: float, seconds: float) -> None:
        """Schedule the next work after some that took `seconds` of CPU."""
        self.times += 1
        self.cpu += seconds
        self._due = now + min(self._longest, max(self._interval, seconds / self._share))
