"""The control socket's answer about types."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heapwatch.control.params import need_samples, seconds
from heapwatch.leaks.census import BUDGET, take
from heapwatch.sampler import walk
from heapwatch.threads import sleep

if TYPE_CHECKING:
    from heapwatch.agent import Agent

MAX_TYPES = 2000
LARGEST_BUDGET = 30.0


def census(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Objects and bytes by type, the largest first, counted now in about `budget` seconds of CPU."""
    need_samples(agent)
    budget = seconds(params, "budget", BUDGET, LARGEST_BUDGET)
    taken = take(walk(), budget, sleep, time.time())
    largest = sorted(taken.types.items(), key=lambda item: -item[1].bytes)
    return {
        **asdict(taken),
        "pid": agent.identity.pid,
        "service": agent.identity.service,
        "objects": sum(counted.objects for counted in taken.types.values()),
        "bytes": sum(counted.bytes for counted in taken.types.values()),
        "types": {name: asdict(counted) for name, counted in largest[:MAX_TYPES]},
    }
