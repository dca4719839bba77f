"""What a part of the agent did to its process, or would have done, with the state before and after."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from heapwatch.failures import logger

KEPT = 100
"""Actions that are kept, and as many frequent ones: these don't push the others out."""


@dataclass(frozen=True)
class Action:
    """Something done at `time` (Unix seconds). `mode` "observe": it was not done."""

    time: float
    kind: str
    mode: str
    reason: str
    before: str
    after: str


class Journal:
    """Counts actions by kind and mode, keeps the last ones, and logs them: `frequent` kinds as debug, others
    as info. `who` is the part of the agent that acts."""

    def __init__(self, who: str, frequent: Collection[str] = ()) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._who = who
        self._frequent = frequent
        self._actions: deque[Action] = deque(maxlen=KEPT)
        self._frequently: deque[Action] = deque(maxlen=KEPT)

    def note(self, kind: str, mode: str, reason: str, before: str, after: str) -> None:
        """Record an action."""
        self.counts[kind, mode] += 1
        actions = self._frequently if kind in self._frequent else self._actions
        actions.append(Action(time.time(), kind, mode, reason, before, after))
        log = logger.debug if kind in self._frequent else logger.info
        verb = "would do" if mode == "observe" else "did"
        log("heapwatch: %s %s %s (%s): %s -> %s", self._who, verb, kind, reason, before, after)

    def recent(self) -> list[dict[str, Any]]:
        """The last actions as JSON values, the newest first."""
        # Copies, since other threads add to these meanwhile.
        kept = [*self._actions.copy(), *self._frequently.copy()]
        return [asdict(action) for action in sorted(kept, key=lambda action: action.time, reverse=True)]

    def totals(self) -> list[dict[str, Any]]:
        """How many actions there were, by kind and mode, as JSON values."""
        counts = sorted(dict(self.counts).items())
        return [{"kind": kind, "mode": mode, "count": count} for (kind, mode), count in counts]
