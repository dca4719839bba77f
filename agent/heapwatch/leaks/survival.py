"""How long the objects of a site live: whether those that outlive a request stay for good.

Growth of live bytes says that more comes than goes, in the time that was watched. Survival says whether
anything goes at all: what leaks is never freed, while a level that drifts upwards is turned over. It can't
tell a leak from a cache that still fills, whose objects stay as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from heapwatch.sampler import AGE_UNIT, Lifetimes

REQUEST = 32.0
"""Seconds, a boundary of the ages: what lives longer doesn't belong to a request."""
STAYING = 0.5
"""Share of the objects older than a request that must outlive the time judged, for growth to be a leak."""
LEAST_SAMPLES = 5


@dataclass(frozen=True)
class Survival:
    """Bytes by age (`Lifetimes`): of blocks that ended, and of those that live."""

    ended: tuple[float, ...]
    live: tuple[float, ...]

    def chance(self, begin: float, end: float, least: float) -> tuple[float, float] | None:
        """(share of those as old as `begin` seconds that live on until `end`, age until which that is known).

        Blocks that live are censored at their age (Kaplan and Meier 1958). An age is known while `least`
        bytes have come to it; None when none is.
        """
        buckets = list(zip_longest(self.ended, self.live, fillvalue=0.0))
        share, known = 1.0, 0.0
        for bucket, (ended, _) in enumerate(buckets):
            later = sum(map(sum, buckets[bucket + 1 :]))
            lower, upper = (AGE_UNIT * 2.0 ** (bucket - 1) if bucket else 0.0), AGE_UNIT * 2.0**bucket
            if lower < begin:
                continue
            if upper > end or ended + later < least or ended + later == 0:
                break
            share, known = share * (1 - ended / (ended + later)), upper
        return (share, known) if known else None


def survival(stacks: Iterable[Lifetimes]) -> Survival:
    """The lifetimes of a site from those of its stacks."""
    found = list(stacks)
    return Survival(_added(s.ended_bytes for s in found), _added(s.live_bytes for s in found))


def _added(columns: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(math.fsum, zip_longest(*columns, fillvalue=0.0)))


@dataclass(frozen=True)
class Stay:
    """`share` of the objects that outlive a request live on until `age` seconds; `old`: share that does."""

    old: float
    share: float
    age: float

    @property
    def turned_over(self) -> bool:
        """Whether most are freed after all."""
        return self.share < STAYING

    def __str__(self) -> str:
        until = f"{self.age / 60:.0f} min" if self.age >= 120 else f"{self.age:.0f} s"
        told = "they stay" if not self.turned_over else "they are turned over, not leaked"
        return (
            f"{self.old:.0%} of its objects live longer than {REQUEST:.0f} s, and of these {self.share:.0%}"
            f" longer than {until}: {told}"
        )


def stay(found: Survival, span: float, interval: float) -> Stay | None:
    """Whether what outlives a request stays, over at most twice the `span` that was judged, in seconds; None
    while less than LEAST_SAMPLES samples of `interval` bytes are old enough to tell."""
    least = LEAST_SAMPLES * interval
    old = found.chance(0.0, REQUEST, least)
    on = found.chance(REQUEST, 2 * max(span, REQUEST), least)
    if old is None or on is None:
        return None
    return Stay(old[0], *on)
