"""Simulated fleets: services whose blocks are born, sampled as the sampler does, and die."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from heapwatch_analyzer.observations import (
    Histogram,
    Instance,
    Observations,
    Report,
    Series,
    SiteTracks,
    Track,
)
from heapwatch_wire.evidence import Call, Evidence, Growth, Holder, Share, Site
from heapwatch_wire.sites import Frame, site_id

FloatArray = npt.NDArray[np.float64]
MIB = float(1 << 20)
INTERVAL = 65536.0
NOW = 1_800_000_000.0

Blocks = tuple[FloatArray, FloatArray]
"""Times at which blocks are born and die, seconds since the process's start."""
Shape = Callable[[np.random.Generator, float], Blocks]
"""(generator, seconds) -> blocks born in the first `seconds` of a process."""


def leak(bytes_per_minute: float, size: float, since: float = 0.0) -> Shape:
    """Blocks that never die, from `since` on."""

    def blocks(rng: np.random.Generator, seconds: float) -> Blocks:
        born = _poisson(rng, bytes_per_minute / 60 / size, since, seconds)
        return born, np.full(len(born), np.inf)

    return blocks


def churn(live: float, size: float, life: float) -> Shape:
    """About `live` bytes at any time, in blocks that live `life` seconds in the mean."""

    def blocks(rng: np.random.Generator, seconds: float) -> Blocks:
        born = _poisson(rng, live / size / life, 0.0, seconds)
        return born, born + rng.exponential(life, len(born))

    return blocks


def cache(full: float, size: float, rate: float) -> Shape:
    """Fills at `rate` bytes per second until `full`; then each new block evicts the oldest."""

    def blocks(rng: np.random.Generator, seconds: float) -> Blocks:
        born = _poisson(rng, rate / size, 0.0, seconds)
        capacity = max(1, int(full / size))
        return born, np.concatenate([born[capacity:], np.full(min(capacity, len(born)), np.inf)])

    return blocks


def warming(full: float, size: float, time_constant: float) -> Shape:
    """First uses of a fixed set of things: 1 - exp, kept for ever."""

    def blocks(rng: np.random.Generator, seconds: float) -> Blocks:
        born = np.sort(rng.exponential(time_constant, max(1, int(full / size))))
        born = born[born < seconds]
        return born, np.full(len(born), np.inf)

    return blocks


def sawtooth(rate: float, size: float, period: float) -> Shape:
    """Garbage at `rate` bytes per second that a collection each `period` seconds frees."""

    def blocks(rng: np.random.Generator, seconds: float) -> Blocks:
        born = _poisson(rng, rate / size, 0.0, seconds)
        return born, (np.floor(born / period) + 1) * period

    return blocks


def _poisson(rng: np.random.Generator, rate: float, start: float, end: float) -> FloatArray:
    return np.sort(rng.uniform(start, end, rng.poisson(rate * max(0.0, end - start))))


def sampled(rng: np.random.Generator, blocks: Blocks, size: float, times: FloatArray) -> Track:
    """What a sampler of mean interval INTERVAL estimates of `blocks` at `times` (since the start)."""
    chance = -np.expm1(-size / INTERVAL)
    kept = rng.random(len(blocks[0])) < chance
    born, dead = np.sort(blocks[0][kept]), np.sort(blocks[1][kept])
    live = np.searchsorted(born, times, side="right") - np.searchsorted(dead, times, side="right")
    return Track(times, live * size / chance, live / chance)


@dataclass
class SimulatedSite:
    """A line of code with the shape of what it allocates, in blocks of `size` bytes."""

    function: str
    shape: Shape
    size: float
    file: str = "/srv/shop/shop/views.py"
    line: int = 10
    callers: tuple[Call, ...] = ()
    endpoints: tuple[Share, ...] = ()

    @property
    def site(self) -> Site:
        own = Call(self.function, self.file, self.line)
        stack = (own, *self.callers)
        mine = next((c for c in stack if "site-packages" not in c.file), None)
        return Site(
            site_id(Frame(own.function, own.file, own.line)), own.function, own.file, own.line, mine, stack
        )


@dataclass
class Fleet:
    """Instances that run the same sites for `seconds`, pushed each `push` seconds; NOW is the end."""

    sites: Sequence[SimulatedSite]
    seconds: float
    instances: int = 2
    push: float = 3.0
    seed: int = 1
    base: float = 80 * MIB
    limit: float | None = 512 * MIB
    reports: Sequence[Report] = ()
    request_rate: Callable[[FloatArray], FloatArray] = field(default=lambda t: np.full_like(t, 40.0))

    def names(self) -> list[str]:
        return [f"host-{100 + i}-1" for i in range(self.instances)]

    def observe(self) -> Observations:
        tracks: dict[int, dict[str, Track]] = {i: {} for i in range(len(self.sites))}
        instances, series, histograms = [], [], []
        for number, name in enumerate(self.names()):
            own = np.random.default_rng([self.seed, number])
            times = np.arange(self.push, self.seconds, self.push) + own.uniform(0, 0.5 * self.push)
            rss = self.base + 0.3 * MIB * own.standard_normal(len(times))
            for i, site in enumerate(self.sites):
                blocks = site.shape(own, self.seconds)
                live = np.searchsorted(np.sort(blocks[0]), times) - np.searchsorted(np.sort(blocks[1]), times)
                rss = rss + live * site.size
                track = sampled(own, blocks, site.size, times)
                tracks[i][name] = replace(track, times=self.clock(track.times))
            at = self.clock(times)
            instances.append(
                Instance(
                    name,
                    f"host-{number}",
                    100 + number,
                    NOW - self.seconds,
                    float(at[-1]),
                    float(rss[-1]),
                    self.limit,
                )
            )
            series.append(Series("process.memory.usage", name, at, rss))
            served = np.cumsum(own.poisson(self.request_rate(times) * self.push)).astype(float)
            histograms.append(Histogram("http.server.request.duration", name, at, served, 0.02 * served))
        found = tuple(SiteTracks(s.site, tracks[i], s.endpoints) for i, s in enumerate(self.sites))
        return Observations(
            "shop", "1.0", NOW, 3600.0, tuple(instances), tuple(series), tuple(histograms), found,
            tuple(self.reports), INTERVAL,
        )  # fmt: skip

    def clock(self, times: FloatArray) -> FloatArray:
        return NOW - self.seconds + times


def healthy(seed: int = 0, count: int = 60) -> list[SimulatedSite]:
    """Lines of a service without a leak: requests, warm-up, caches, sessions, garbage."""
    rng = np.random.default_rng(seed)
    shapes: list[Callable[[float], Shape]] = [
        lambda s: churn(rng.uniform(0.2, 6) * MIB, s, rng.uniform(0.02, 2)),
        lambda s: warming(rng.uniform(0.2, 4) * MIB, s, rng.uniform(4, 20)),
        lambda s: cache(rng.uniform(0.2, 3) * MIB, s, rng.uniform(0.05, 0.5) * MIB),
        lambda s: churn(rng.uniform(0.2, 2) * MIB, s, rng.uniform(10, 40)),
        lambda s: sawtooth(rng.uniform(0.02, 0.3) * MIB, s, rng.uniform(5, 20)),
    ]
    sites = []
    for i in range(count):
        size = float(np.exp(rng.uniform(np.log(56), np.log(20000))))
        sites.append(SimulatedSite(f"work_{i}", shapes[i % len(shapes)](size), size, line=10 + i))
    return sites


def report(
    site: Site, instance: str, kind: str, *chains: Holder, endpoints: tuple[Share, ...] = ()
) -> Report:
    """What an agent says of `site`."""
    evidence = Evidence(
        "suspicion", "shop", "1.0", site, kind, 1e6, 1e3, Growth(1e4, 5e3, 2e4, 10.0), NOW,
        holders=chains, endpoints=endpoints,
    )  # fmt: skip
    return Report(instance, evidence)


@dataclass(frozen=True)
class Simulation:
    """The simulator's parts, for tests."""

    Fleet = Fleet
    Site = SimulatedSite
    healthy = staticmethod(healthy)
    leak = staticmethod(leak)
    churn = staticmethod(churn)
    cache = staticmethod(cache)
    warming = staticmethod(warming)
    report = staticmethod(report)
    share = Share
    call = Call
    holder = Holder
    NOW = NOW
    MIB = MIB


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return Simulation()
