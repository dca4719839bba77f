"""How many objects of which type there are, and how many bytes they take, within a budget of CPU time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from heapwatch.leaks.references import type_name
from heapwatch.sampler import STEP, Walk

BUDGET = 0.5
SURE = 1.96
"""Standard errors of a 95% interval."""
SPARSER = 4


@dataclass
class Count:
    """Objects and bytes of a type, with the margins of their 95% intervals."""

    objects: float = 0.0
    bytes: float = 0.0
    objects_margin: float = 0.0
    bytes_margin: float = 0.0


@dataclass
class Census:
    """Counts by type name, as of `time` (Unix seconds).

    `tracked` are the objects that the garbage collector knows, as far as they were seen; `stride` says that
    one in so many was looked at in the end; `complete` whether all were seen before the budget was used up.
    """

    time: float
    types: dict[str, Count] = field(default_factory=dict)
    tracked: int = 0
    stride: int = 1
    complete: bool = False
    cpu: float = 0.0


def take(walk: Walk, budget: float, pause: Callable[[float], None], now: float) -> Census:
    """A census in about `budget` seconds of CPU; `pause` is called between steps with the seconds to wait.

    First everything is looked at; as the budget goes down, one in 4, one in 16, and so on. How many doesn't
    depend on what they are, so the estimates stay unbiased.
    """
    census = Census(now)
    variances: dict[str, list[float]] = {}
    while not walk.done and census.cpu < budget:
        started = time.thread_time()
        for kind, objects, size, of_objects, of_bytes in walk.census(census.stride, STEP):
            name = type_name(kind)
            counted = census.types.setdefault(name, Count())
            counted.objects += objects
            counted.bytes += size
            spread = variances.setdefault(name, [0.0, 0.0])
            spread[0] += of_objects
            spread[1] += of_bytes
        census.cpu += time.thread_time() - started
        if 1.0 - census.cpu / budget < 1.0 / (2 * census.stride):
            census.stride *= SPARSER
        pause(STEP)
    for name, (of_objects, of_bytes) in variances.items():
        census.types[name].objects_margin = SURE * math.sqrt(of_objects)
        census.types[name].bytes_margin = SURE * math.sqrt(of_bytes)
    census.tracked, census.complete = walk.seen, walk.done
    return census
