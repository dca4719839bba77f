"""A process whose memory, clock and way out are the test's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from heapwatch.cgroup import CgroupReader, ContainerMemory
from heapwatch.defence.defence import Defence
from heapwatch.defence.exits import Exit
from heapwatch.defence.family import Family
from heapwatch.defence.headroom import Headroom
from heapwatch.defence.relief import Relief
from heapwatch.failures import Failures
from heapwatch.instrument.requests import Requests
from heapwatch_wire.settings import AgentSettings

MIB = 1 << 20


@dataclass(frozen=True)
class Way(Exit):
    """A way out that only notes that it was taken."""

    taken: list[str] = field(default_factory=list)

    def ask(self) -> None:
        self.taken.append(self.signal.name)


@dataclass
class World:
    """Of a process in a container with a limit of 1000 MiB, or in `cgroup`; `rss` and `used` in MiB."""

    folder: Path
    requests: Requests
    rss: int = 100
    used: int = 100
    limit: int | None = 1000
    now: float = 1000.0
    caches: list[Callable[[], object]] = field(default_factory=list)
    cgroup: CgroupReader | None = None
    trims: int = 0
    left: int = 0
    way: Way = field(default_factory=lambda: Way(SIGTERM, graceful=True))
    failures: Failures = field(default_factory=Failures)

    def family(self, service: str = "shop") -> Family:
        return Family(self.folder, service)

    def defence(self, **settings: Any) -> Defence:
        settings = {"defence": "act", "defence_grace": 5.0, **settings}
        return Defence(
            AgentSettings(**settings),
            self.family(),
            self.requests,
            Headroom(self._container, self._rss, settings.get("defence_limit", 0)),
            Relief(self.caches, self._trim, self._rss, self.failures, lambda: self.now),
            lambda: self.way,
            self._leave,
            self.failures,
            lambda: self.now,
        )

    def serve(self) -> None:
        """A request comes and is answered."""
        self.requests.begin("GET").sent()

    def takes(self, used: int) -> None:
        """The process takes so many MiB, and nobody else in the container takes any."""
        self.rss = self.used = used

    def _container(self) -> ContainerMemory | None:
        if self.cgroup is not None:
            return self.cgroup.memory()
        limit = self.limit * MIB if self.limit else None
        return ContainerMemory(self.used * MIB, self.used * MIB, limit)

    def _rss(self) -> int:
        return self.rss * MIB

    def _trim(self) -> bool:
        self.trims += 1
        return True

    def _leave(self) -> None:
        self.left += 1


@pytest.fixture
def world(tmp_path: Path, sampler: Any) -> World:
    return World(tmp_path / "run", Requests(sampler))
