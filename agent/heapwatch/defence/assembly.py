"""Puts the defence of a process together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from heapwatch.cgroup import CgroupReader
from heapwatch.control.paths import runtime_folder
from heapwatch.defence.defence import Defence
from heapwatch.defence.exits import find_exit
from heapwatch.defence.family import Family
from heapwatch.defence.headroom import Headroom
from heapwatch.defence.relief import Relief
from heapwatch.instrument.requests import Requests
from heapwatch.process import ProcessReader

if TYPE_CHECKING:
    from heapwatch.agent import Agent


def make_defence(agent: Agent, requests: Requests, callbacks: Sequence[Callable[[], object]]) -> Defence:
    """The defence of `agent`'s process, not started. ConfigError for a setting that can't be used."""
    settings, process = agent.settings, ProcessReader()

    def rss() -> int:
        return process.resident().rss

    def leave() -> None:
        agent.leave()  # which the host sets after this

    return Defence(
        settings,
        Family(runtime_folder(settings.runtime_dir), agent.identity.service),
        requests,
        Headroom(CgroupReader().memory, rss, settings.defence_limit),
        Relief(callbacks, agent.memory.trim, rss, agent.failures),
        find_exit,
        leave,
        agent.failures,
    )
