"""What only the garbage collector frees: watched for a while, site by site.

The sampler knows what is alive just before and just after a full collection. What has gone between was held
by reference cycles alone (or hung on them), for everything else goes when its last reference does.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from heapwatch_wire.evidence import Site
from heapwatch_wire.sites import Frame

from heapwatch.leaks.holders import HolderSearch, Outcome, Wanted
from heapwatch.leaks.references import type_name
from heapwatch.leaks.sites import Responsible, SiteTotals, roll_up
from heapwatch.leaks.tracker import describe_site
from heapwatch.sampler import Sampler, Totals

MAX_SITES = 8
LEAST_SHARE = 0.05
STACKS_LOOKED_AT = 8
GARBAGE_SHOWN = 100_000
OLDEST = 2


@dataclass
class Freed:
    """What full collections freed, estimated: bytes and objects by stack. `collected` is the collector's
    count of objects."""

    collections: int = 0
    collected: int = 0
    bytes: Counter[int] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class CycleSite:
    """A site whose objects full collections free. `share` is the part of all that it freed meanwhile that
    waited for them; `outcome` tells the cycles of objects that wait now."""

    site: Site
    bytes: float
    objects: float
    share: float
    outcome: Outcome


class FullCollections:
    """Compares what is sampled before and after each full collection, once `watching`."""

    def __init__(self, sampler: Sampler) -> None:
        self.freed = Freed()
        self._sampler = sampler
        self._before: list[Totals] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at each full collection in this block."""
        callback = self._on_collection
        gc.callbacks.append(callback)
        try:
            yield
        finally:
            gc.callbacks.remove(callback)

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        if info["generation"] != OLDEST:
            return
        if phase == "start":
            self._before = self._sampler.totals(live=True)
        elif self._before:
            self._compare(self._before, self._sampler.totals(live=True), info["collected"])
            self._before = []

    def _compare(self, before: Sequence[Totals], after: Sequence[Totals], collected: int) -> None:
        self.freed.collections += 1
        self.freed.collected += collected
        for rows, sign in ((before, 1.0), (after, -1.0)):
            for row in rows:
                self.freed.bytes[row.stack_id] += sign * row.inuse_bytes  # type: ignore[assignment]
                self.freed.objects[row.stack_id] += sign * row.inuse_objects  # type: ignore[assignment]


def watch(
    sampler: Sampler, seconds: float, budget: float, collect: bool, pause: Callable[[float], None]
) -> tuple[Freed, list[CycleSite]]:
    """Watch the full collections of some seconds; with `collect`, run one at the end if there was none.

    Then find cycles among what waits at the sites that freed most by them; `budget` is seconds of a slice of
    that search.
    """
    watched, started = FullCollections(sampler), sampler.totals()
    with watched.watching():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pause(min(0.1, seconds))
        if collect and not watched.freed.collections:
            gc.collect()
    if collect:
        pause(seconds / 4)  # For garbage to gather anew.
    rows = sampler.totals()
    site_of = Responsible(sampler.frames).of(row.stack_id for row in rows)
    sites = roll_up(rows, site_of)
    ended = _ended(sites, site_of, started)
    most = _freed_most(sites, site_of, watched.freed)
    outcomes = _search(sampler, [totals for totals, _, _ in most], budget, pause)
    found = []
    for (totals, size, objects), outcome in zip(most, outcomes, strict=True):
        share = size / max(size, ended.get(totals.frame, 0.0))
        found.append(CycleSite(describe_site(totals, sampler.frames), size, objects, share, outcome))
    return watched.freed, found


def uncollectable() -> dict[str, int]:
    """Objects in gc.garbage by type name, the most first."""
    counts = Counter(type_name(type(obj)) for obj in gc.garbage[:GARBAGE_SHOWN])
    return dict(counts.most_common())


def _ended(
    sites: Mapping[Frame, SiteTotals], site_of: Mapping[int, Frame], before: Iterable[Totals]
) -> dict[Frame, float]:
    """Bytes freed since `before`, by site."""
    ended = {frame: totals.alloc_bytes - totals.live_bytes for frame, totals in sites.items()}
    for row in before:
        if row.stack_id in site_of:  # else the stack was forgotten meanwhile
            ended[site_of[row.stack_id]] -= row.alloc_bytes - row.inuse_bytes
    return ended


def _freed_most(
    sites: Mapping[Frame, SiteTotals], site_of: Mapping[int, Frame], freed: Freed
) -> list[tuple[SiteTotals, float, float]]:
    """(site, bytes, objects) that the collections freed, the most first."""
    found: dict[Frame, list[float]] = {frame: [0.0, 0.0] for frame in sites}
    for stack, frame in site_of.items():
        found[frame][0] += freed.bytes[stack]
        found[frame][1] += freed.objects[stack]
    # Other threads go on while the figures are taken: what little they freed is no finding.
    least = LEAST_SHARE * max((size for size, _ in found.values()), default=0.0)
    some = (frame for frame, (size, objects) in found.items() if size > least and objects > 0)
    most = sorted(some, key=lambda frame: -found[frame][0])[:MAX_SITES]
    return [(sites[frame], found[frame][0], found[frame][1]) for frame in most]


def _search(
    sampler: Sampler, sites: Sequence[SiteTotals], budget: float, pause: Callable[[float], None]
) -> list[Outcome]:
    if not sites:
        return []
    wanted = [Wanted([stack for stack, _ in t.stacks.most_common(STACKS_LOOKED_AT)]) for t in sites]
    search = HolderSearch(sampler, wanted, budget)
    while not search.advance():
        pause(2 * budget)
    return search.outcomes()
