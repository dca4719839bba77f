"""How much of a memory limit is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from heapwatch.cgroup import ContainerMemory


@dataclass(frozen=True)
class Reading:
    """Bytes. `used` of `limit` are taken, of the container or the process; `rss` is the process's own."""

    used: int
    limit: int
    whose: Literal["container", "process"]
    rss: int

    @property
    def share(self) -> float:
        """Used over limit."""
        return self.used / self.limit

    def __str__(self) -> str:
        return f"{self.used >> 20} of {self.limit >> 20} MiB of the {self.whose}"


class Headroom:
    """Reads `container` (None where there is none) and `rss`; `limit` bounds the process, 0 for none."""

    def __init__(
        self, container: Callable[[], ContainerMemory | None], rss: Callable[[], int], limit: int
    ) -> None:
        self._container = container
        self._rss = rss
        self._limit = limit

    def read(self) -> Reading | None:
        """Of the limits the one that is nearer; None where nothing is known to bound the memory."""
        rss = self._rss()
        found = []
        if self._limit:
            found.append(Reading(rss, self._limit, "process", rss))
        container = self._container()
        if container is not None and (bound := container.bound):
            found.append(Reading(bound.used, bound.limit, "container", rss))
        return max(found, key=lambda reading: reading.share, default=None)
