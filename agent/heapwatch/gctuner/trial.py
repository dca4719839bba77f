"""Whether collections or memory got worse after the tuner began to act."""

from __future__ import annotations

from heapwatch.gctuner.meter import Figures

MEMORY_WINDOWS = 3
"""Growth is laid at the tuner's door in this many windows; later the service itself is likelier."""
MEMORY_SHARE = 0.05
MEMORY_FLOOR = 8 << 20
PAUSE_RATIO = 1.25
PAUSE_FLOOR = 50e-6
SHARE_RATIO = 1.5
SHARE_FLOOR = 0.01
BAD_WINDOWS = 2
"""Pauses are judged bad after this many windows in a row, so that one stray collection isn't a verdict."""


class Trial:
    """Compares window after window with `baseline`, the last one before."""

    def __init__(self, baseline: Figures) -> None:
        self._baseline = baseline
        self._windows = 0
        self._seconds = 0.0
        self._bad = 0
        self._excused = False

    def excuse(self) -> None:
        """Don't judge the pauses of the window that runs: it holds a collection made once."""
        self._excused = True

    def verdict(self, figures: Figures) -> str:
        """What got worse, in words; "" when nothing did."""
        self._windows += 1
        self._seconds += figures.seconds
        worse = self._memory(figures)
        if worse:
            return worse
        excused, self._excused = self._excused, False
        slower = "" if excused else self._pauses(figures)
        self._bad = self._bad + 1 if slower else 0
        return slower if self._bad >= BAD_WINDOWS else ""

    def _memory(self, figures: Figures) -> str:
        before = self._baseline
        trend = max(0.0, before.grown / before.seconds) * self._seconds
        extra = figures.rss - before.rss - trend
        if self._windows <= MEMORY_WINDOWS and extra > MEMORY_SHARE * before.rss + MEMORY_FLOOR:
            return f"rss grew by {extra:.0f} bytes more than it would have"
        return ""

    def _pauses(self, figures: Figures) -> str:
        before = self._baseline
        both = figures.requests and before.requests
        if both and figures.seen > PAUSE_RATIO * before.seen + PAUSE_FLOOR:
            return f"pauses seen went from {before.seen * 1e6:.0f} to {figures.seen * 1e6:.0f} us"
        if figures.share > SHARE_RATIO * before.share + SHARE_FLOOR:
            return f"collections' share of time went from {before.share:.2%} to {figures.share:.2%}"
        return ""
