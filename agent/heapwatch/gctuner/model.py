"""How large generations should be, from what was measured.

Young generation: the cost of collecting it grows with the objects in it, so its size is a bound on its pause
(as a nursery is sized: Jones, Hosking, Moss, The Garbage Collection Handbook, 2nd edition, chapter 9). The
larger it is, the more objects die by reference count before anybody has to look at them; what limits it from
the other side is the garbage that waits in it: objects x (1 - survival) x bytes per object.

Oldest generation: the square-root rule of Kirisame, Shenoy and Panchekha, "Optimal Heap Limits for Reducing
Browser Memory Use" (OOPSLA 2022). A full collection costs P seconds, whatever it frees, and garbage that only
it can free arrives at G bytes per second. With T between two, collecting takes the share P/T of the time, and
G*T bytes wait. If a share x of the time is worth as much as y bytes (rate r = x/y), the sum P/T + r*G*T is
smallest at T = sqrt(P / (r*G)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from heapwatch.gctuner.controls import Thresholds

PAUSE_TARGET = 0.005
"""Seconds that a young collection may take. Few are that long: moments without a request come earlier."""
MEMORY_SHARE = 0.02
"""Part of RSS that garbage may take: in the young generation, and again in the others."""
TIME_SHARE = 0.01
"""Part of the time that is worth as much as MEMORY_SHARE of memory."""
FULL_SHARE = 0.02
"""Part of the time that full collections may take, unless memory runs out."""
SMALLEST_YOUNG = 4
"""Times the natural threshold: below that, a request's objects have no room before a collection."""
STEADY_YOUNG = 1.25
"""The same where waiting for a moment without a request doesn't pay: collections stop as many requests as
usually run where CPython's would, and earlier when fewer run."""
LARGEST_YOUNG = 200_000
LARGEST_OLD = 1000
LOWEST_GARBAGE = 0.05


@dataclass(frozen=True)
class Rates:
    """Measured over a stretch of time. `allocated` tracked objects per second that were not freed at once;
    `young_cost` seconds per young object examined; `survival` the part of them that lived; `old_garbage`
    objects per second that full collections freed; `full_pause` seconds; `object_bytes`, `rss` bytes;
    `per_request` are the allocated objects for each request, 0 without requests."""

    allocated: float
    young_cost: float
    survival: float
    old_garbage: float
    full_pause: float
    object_bytes: float
    rss: int
    per_request: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What may stay uncollected: bytes, and seconds."""

    uncollected: int
    delay: float


@dataclass(frozen=True)
class Plan:
    """Thresholds, and seconds from one full collection to the next."""

    thresholds: Thresholds
    full_interval: float


def make_plan(rates: Rates, natural: Thresholds, limits: Limits, waits: bool = True) -> Plan:
    """The plan for `rates`; its thresholds are never below the `natural` ones. `waits`: collections wait for
    moments without a request, so the young generation has all its room."""
    young = young_room(rates, natural, limits) if waits else int(STEADY_YOUNG * natural[0])
    interval = full_interval(rates, budget(rates.rss, limits), limits)
    middle_per_second = rates.allocated / (young * max(1, natural[1]))
    old = int(max(natural[2], min(LARGEST_OLD, interval * middle_per_second)))
    return Plan((young, natural[1], old), interval)


def young_room(rates: Rates, natural: Thresholds, limits: Limits) -> int:
    """Objects that may wait in the young generation, by their bytes and by the pause that they take."""
    garbage = max(LOWEST_GARBAGE, 1 - rates.survival)
    by_memory = budget(rates.rss, limits) / (rates.object_bytes * garbage)
    by_pause = PAUSE_TARGET / rates.young_cost if rates.young_cost > 0 else LARGEST_YOUNG
    return int(max(SMALLEST_YOUNG * natural[0], min(by_memory, by_pause, LARGEST_YOUNG)))


def full_interval(rates: Rates, room: float, limits: Limits) -> float:
    """Seconds between two full collections: the square-root rule within the limits."""
    incoming = rates.old_garbage * rates.object_bytes
    best = limits.delay
    if incoming > 0 and rates.full_pause > 0:
        exchange = TIME_SHARE / room
        best = min(best, math.sqrt(rates.full_pause / (exchange * incoming)), room / incoming)
    return max(best, rates.full_pause / FULL_SHARE)


def budget(rss: int, limits: Limits) -> float:
    """Bytes of garbage that may wait in a process of `rss` bytes."""
    return max(1.0, min(limits.uncollected, MEMORY_SHARE * rss))
