"""Which requests are refused, and how many were."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from fnmatch import fnmatchcase

from heapwatch.defence.states import HOLD
from heapwatch.instrument.guard import Refusal

REASONS = ("optional", "all", "leaving")
RETRY_AFTER = int(HOLD)


class Refused(IntEnum):
    """Of which routes requests are refused."""

    NONE = 0
    OPTIONAL = 1
    ALL = 2


class Shedding:
    """Answers for each request; `refused` says what is in force, `leaving` that the process ends when none
    runs. `counts` by reason (one of REASONS) and mode."""

    def __init__(self, patterns: str, mode: str) -> None:
        self.refused = Refused.NONE
        self.leaving = False
        self.counts: Counter[tuple[str, str]] = Counter()
        self._patterns = patterns.split()
        self._mode = mode

    def refuse(self, path: str) -> Refusal | None:
        """The refusal of a request for `path`, if it is one."""
        if self.leaving:
            self.counts["leaving", "act"] += 1  # whatever the mode: a drain may be asked for
            return Refusal(503, RETRY_AFTER)
        if self.refused is Refused.NONE:
            return None
        if self.refused is Refused.ALL:
            return self._count("all")
        if any(fnmatchcase(path, pattern) for pattern in self._patterns):
            return self._count("optional")
        return None

    def refuse_optional(self) -> Refusal | None:
        """The refusal of work that the service calls optional itself."""
        return self._count("optional") if self.refused else None

    def _count(self, reason: str) -> Refusal | None:
        self.counts[reason, self._mode] += 1
        return Refusal(503, RETRY_AFTER) if self._mode == "act" else None
