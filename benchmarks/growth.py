"""How often the growth test is right: thousands of simulated sites, few of which leak.

    python -m benchmarks.growth [--sites 5000] [--leaks 20] [--horizons 180,600,1800] [--seed 1]
                                [--rounds 1] [--record]

Each site is seen through a simulated sampler (each sampled block a Poisson event) on two instances that
push every five seconds. Prints a JSON object for each round: at each horizon false discovery proportion and
recall, how many sites of each kind were called a leak, and of the leaks the told rate over the true one
(median; apart for those that began late) and the share of intervals that hold the true rate. Needs the
standard library only.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import fmean, median
from typing import Any

from heapwatch_wire.evidence import Growth
from heapwatch_wire.growth import Finding, Series, discoveries, judge

from benchmarks.results import Result, Table, record

INTERVAL = 65536.0
PUSH = 5.0
INSTANCES = 2
LONGEST = 7200.0
MIB = float(1 << 20)

Level = Callable[[float], float]
"""True live bytes as a function of the time in seconds."""
Model = tuple[Level, float, float]
"""Level, mean life of a block in seconds, relative size of what requests in flight add."""


def poisson(mean: float, rng: random.Random) -> int:
    """A Poisson variate; the normal approximation above 50."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-max(mean, 0.0)), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def survivors(count: int, chance: float, rng: random.Random) -> int:
    """A binomial variate; the normal approximation above 200."""
    if count > 200:
        return min(count, max(0, round(rng.gauss(count * chance, math.sqrt(count * chance * (1 - chance))))))
    return sum(rng.random() < chance for _ in range(count))


def observe(model: Model, seconds: float, rng: random.Random) -> list[tuple[float, float, float]]:
    """What the sampler reports of a site at each push; AR(1) noise with coefficient 0.8."""
    level, life, busy = model
    stay = math.exp(-PUSH / life)
    count, before, swing, points = 0, 0.0, 0.0, []
    for i in range(int(seconds / PUSH)):
        now = level(i * PUSH) / INTERVAL
        chance = min(stay, now / before) if before > 0 else stay
        count = survivors(count, chance, rng) + poisson(now - before * chance, rng)
        before = now
        swing = 0.8 * swing + 0.6 * rng.gauss(0, 1)
        seen = count + poisson(busy * now * max(0.0, 1 + swing), rng)
        points.append((i * PUSH, seen * INTERVAL, seen * INTERVAL / 200))
    return points


def leak(rng: random.Random) -> Model:
    """0.5 to 5 MiB per minute and instance, from the start or from a later moment."""
    rate, base = MIB / 60 * 10 ** rng.uniform(-0.3, 0.7), MIB * 10 ** rng.uniform(-2, 1)
    onset = rng.choice([0.0, 0.0, 60.0])
    return lambda t: base + rate * max(0.0, t - onset), 1e9, 0.02


def steady(rng: random.Random) -> Model:
    """A level of 10 KiB to 100 MiB whose objects turn over, with requests in flight."""
    size, life = MIB * 10 ** rng.uniform(-2, 2), 10 ** rng.uniform(0, 4)
    return lambda t: size, life, rng.choice([0.0, 0.05, 0.3])


def filling(rng: random.Random) -> Model:
    """A cache of random keys: 1 - exp(-t/fill)."""
    size, fill = MIB * 10 ** rng.uniform(-1, 2), 10 ** rng.uniform(1, 2.3)
    return lambda t: size * -math.expm1(-t / fill), 1e9, 0.0


def bounded(rng: random.Random) -> Model:
    """A cache of new keys: a ramp until it is full, then turning over."""
    size, fill = MIB * 10 ** rng.uniform(-1, 2), rng.uniform(10, 90)
    return lambda t: size * min(1.0, t / fill), fill * 2, 0.0


def logarithmic(rng: random.Random) -> Model:
    """Keys of a long-tailed popularity: growth like a logarithm."""
    size, scale = MIB * 10 ** rng.uniform(-1, 1), rng.uniform(1, 10)
    return lambda t: size * math.log1p(t / scale), 1e9, 0.0


def sawtooth(rng: random.Random) -> Model:
    """Cyclic garbage, collected every few to forty seconds; a collection comes now sooner and now later."""
    size, period, base = MIB * 10 ** rng.uniform(-1, 1.5), rng.uniform(3, 40), MIB * rng.uniform(0, 5)
    ends = list(accumulate(period * rng.uniform(0.8, 1.2) for _ in range(int(LONGEST / period / 0.8) + 2)))

    def level(t: float) -> float:
        cycle = bisect_right(ends, t)
        begin = ends[cycle - 1] if cycle else 0.0
        return base + size * (t - begin) / (ends[cycle] - begin)

    return level, 1e9, 0.0


def resizing(rng: random.Random) -> Model:
    """A container that grows by doubling a few times, then no more."""
    size, moments = MIB * 10 ** rng.uniform(-1, 1), [rng.uniform(0, 600) for _ in range(rng.randint(1, 4))]
    return lambda t: size * 2.0 ** sum(t > m for m in moments), 1e9, 0.0


KINDS: tuple[tuple[Callable[[random.Random], Model], float], ...] = (
    (steady, 0.80),
    (sawtooth, 0.08),
    (filling, 0.04),
    (bounded, 0.04),
    (logarithmic, 0.02),
    (resizing, 0.02),
)


def population(sites: int, leaks: int, rng: random.Random) -> list[tuple[str, Model]]:
    """`sites` models by name, of which `leaks` leak and one in ten is a cache."""
    kinds = [kind for kind, _ in KINDS]
    chosen = rng.choices(kinds, [share for _, share in KINDS], k=sites - leaks)
    return [(kind.__name__, kind(rng)) for kind in [leak] * leaks + chosen]


@dataclass
class Tally:
    """What was said at one horizon: the finding of each site, and of leaks the true rate."""

    findings: list[tuple[str, Finding]] = field(default_factory=list)
    rates: list[tuple[bool, float, Growth]] = field(default_factory=list)

    def summary(self, leaks: int) -> dict[str, object]:
        """False discovery proportion, recall, what was called a leak, and how right the rates are."""
        decided = discoveries([finding for _, finding in self.findings], len(self.findings))
        kinds = [kind for kind, _ in self.findings]
        called = Counter(kind for kind, f in zip(kinds, decided, strict=True) if f.decision == "leak")
        total = sum(called.values())
        return {
            "false_discovery_proportion": round((total - called["leak"]) / total, 3) if total else 0.0,
            "recall": round(called["leak"] / leaks, 3) if leaks else 1.0,
            "called": dict(called),
            "rate_over_truth": _median([g.bytes_per_second / r for late, r, g in self.rates if not late]),
            "rate_over_truth_late": _median([g.bytes_per_second / r for late, r, g in self.rates if late]),
            "rate_covered": _mean([g.low <= r <= g.high for _, r, g in self.rates]),
        }


def _median(values: list[float]) -> float | None:
    return round(median(values), 3) if values else None


def _mean(values: list[bool]) -> float | None:
    return round(fmean(values), 3) if values else None


def run(sites: int, leaks: int, horizons: list[float], seed: int) -> dict[str, Any]:
    """Simulate once, judge at each horizon with what is known by then."""
    rng = random.Random(seed)
    models = population(sites, leaks, rng)
    tallies = {horizon: Tally() for horizon in horizons}
    judging = 0.0
    for kind, model in models:
        seen = [observe(model, max(horizons), rng) for _ in range(INSTANCES)]
        started = time.process_time()
        for horizon, tally in tallies.items():
            upto = int(horizon / PUSH)
            finding = judge([Series(points[:upto], INTERVAL) for points in seen])
            tally.findings.append((kind, finding))
            if kind == "leak" and finding.growth is not None:
                level = model[0]
                rate = INSTANCES * (level(horizon) - level(horizon - 1))
                tally.rates.append((level(1) == level(0), rate, finding.growth))
        judging += time.process_time() - started
    return {
        "sites": sites,
        "leaks": leaks,
        "kinds": dict(Counter(kind for kind, _ in models)),
        "horizons": {f"{h:g} s": tally.summary(leaks) for h, tally in tallies.items()},
        "milliseconds_per_judgement": round(1e3 * judging / sites / len(horizons), 3),
    }


def recorded(rounds: Sequence[Mapping[str, Any]], command: str) -> Result:
    """For docs/benchmarks.md: over all rounds, and the worst of them."""
    rows = []
    for horizon in rounds[0]["horizons"]:
        found = [one["horizons"][horizon] for one in rounds]
        called = sum(sum(one["called"].values()) for one in found)
        false = called - sum(one["called"].get("leak", 0) for one in found)
        rows.append(
            [
                horizon,
                f"{false / max(1, called):.3f}",
                f"{max(one['false_discovery_proportion'] for one in found):.2f}",
                f"{fmean(one['recall'] for one in found):.3f}",
                f"{min(one['recall'] for one in found):.2f}",
                f"{fmean(one['rate_covered'] or 0.0 for one in found):.2f}",
            ]
        )
    sites, leaks = rounds[0]["sites"], rounds[0]["leaks"]
    columns = [
        "after", "false of those called a leak", "worst round", "leaks found", "worst round",
        "intervals that hold the true rate",
    ]  # fmt: skip
    return Result(
        name="growth",
        order=68,
        title="The growth test on simulated sites",
        about=f"{len(rounds)} times {sites:,} sites, of which {leaks} leak 0.5 to 5 MiB a minute in each of"
        " two processes and one in ten is a cache that fills; the others turn over, are collected now and"
        " then, or double. Each is seen through a simulated sampler, with autocorrelated noise of requests in"
        " flight on top. Goal: at most 0.10 false, at least 0.85 found. A judgement takes"
        f" {fmean(one['milliseconds_per_judgement'] for one in rounds):.2f} ms.",
        command=command,
        tables=[Table("Verdicts", columns, rows)],
        data=list(rounds),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sites", type=int, default=5000, help="sites simulated (default 5000)")
    parser.add_argument("--leaks", type=int, default=20, help="how many of them leak (default 20)")
    parser.add_argument("--horizons", default="180,600,1800", help="seconds after which sites are judged")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first simulation (default 1)")
    parser.add_argument(
        "--rounds", type=int, default=1, help="simulations, each with the next seed (default 1)"
    )
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    args = parser.parse_args()
    horizons = [float(h) for h in args.horizons.split(",")]
    rounds = [run(args.sites, args.leaks, horizons, args.seed + n) for n in range(args.rounds)]
    if not args.record:
        print(json.dumps(rounds, indent=2))
        return
    record(
        recorded(rounds, f"python -m benchmarks.growth --seed {args.seed} --rounds {args.rounds} --record")
    )


if __name__ == "__main__":
    main()
