"""What the tuner did, or would have done, with the state before and after."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from heapwatch.failures import logger

KINDS = ("thresholds", "young", "idle", "full", "freeze", "unfreeze", "pressure", "undo", "restore")
FREQUENT = frozenset({"young", "idle", "full"})
KEPT = 100


@dataclass(frozen=True)
class Action:
    """One of KINDS at `time` (Unix seconds). `mode` "observe": it was not done."""

    time: float
    kind: str
    mode: str
    reason: str
    before: str
    after: str


class Journal:
    """Counts actions by kind, keeps the last ones, and logs them: frequent kinds as debug, others as info."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._actions: deque[Action] = deque(maxlen=KEPT)

    def note(self, kind: str, mode: str, reason: str, before: str, after: str) -> None:
        """Record an action."""
        self.counts[kind, mode] += 1
        self._actions.append(Action(time.time(), kind, mode, reason, before, after))
        log = logger.debug if kind in FREQUENT else logger.info
        verb = "would do" if mode == "observe" else "did"
        log("heapwatch: gc tuner %s %s (%s): %s -> %s", verb, kind, reason, before, after)

    def recent(self) -> list[dict[str, Any]]:
        """The last actions as JSON values, the newest first."""
        return [asdict(action) for action in reversed(self._actions)]
