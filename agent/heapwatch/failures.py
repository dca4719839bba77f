"""The one place where the agent's own failures end: counted by reason, logged once per reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("heapwatch")


class Failures:
    """Counts failures by reason. Reasons are names in our own code, so there are few of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def caught(self, reason: str, error: BaseException) -> None:
        """Count `error` under `reason`; the first one of a reason is logged as a warning."""
        self.counts[reason] += 1
        if self.counts[reason] == 1:
            text = f"{type(error).__name__}: {error}"
            logger.warning("heapwatch: %s failed, the service goes on: %s", reason, text)

    @contextmanager
    def guard(self, reason: str) -> Iterator[None]:
        """Run a block whose failure must not leave the agent."""
        try:
            yield
        except Exception as error:
            self.caught(reason, error)
