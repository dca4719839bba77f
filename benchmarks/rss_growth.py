"""How well growth of a process's memory is told from RSS alone: simulated weeks of 14 shapes, four rules.

    python -m benchmarks.rss_growth [--series 10] [--seed 1] [--json] [--record]

Six shapes grow without end (slow, fast, late, from one restart to the next, under a daily wave, beneath a
sawtooth), eight don't (level, autocorrelated noise, daily wave, cache, long-tailed cache, ramp, resizing,
restarts with warm-up). A point each 10 minutes; each rule looks every 6 hours at what came before. An alarm
is a look that says growth after one that didn't; it is right if the shape grows by then.

  100 MB/h      the last hour grew by more than 100 MB
  Mann-Kendall  tau of the last day is positive with p < 0.001 and Sen's slope over 0.5 MiB an hour
  forecast      the analyzer's slope of RSS, known to within half of itself
  growth test   the test that sites have to pass, with pages for samples
  a day of it   what the analyzer goes by where no limit is near: the same, once it has a day to look at

Also told: the median hours from the start of growth to its alarm.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from heapwatch_analyzer.forecasts import CLEAR, trend
from heapwatch_analyzer.observations import FloatArray
from heapwatch_analyzer.rss import rss_grows
from heapwatch_wire.growth import THRESHOLDS
from scipy import stats

from benchmarks.results import Result, Table, record

MIB = float(1 << 20)
HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0
STEP = 600.0
LOOK = 6 * HOUR
START = 1.7e9
TIMES = np.arange(0.0, WEEK, STEP)

Shape = Callable[[np.random.Generator], tuple[FloatArray, float]]
"""MiB over TIMES, and the second from which it grows without end (infinite: never)."""
RESTARTS = np.array([0.0, 2.2, 4.1]) * DAY


def _age(t: FloatArray) -> FloatArray:
    """Seconds since the last restart."""
    return t - RESTARTS[np.searchsorted(RESTARTS, t, side="right") - 1]


def _wave(rng: np.random.Generator) -> FloatArray:
    return rng.uniform(30, 150) * (1 - np.cos(2 * np.pi * (TIMES / DAY + rng.uniform())))


def _correlated(rng: np.random.Generator) -> FloatArray:
    values, shocks = np.empty(len(TIMES)), rng.standard_normal(len(TIMES))
    values[0] = shocks[0]
    for i in range(1, len(values)):
        values[i] = 0.9 * values[i - 1] + 0.44 * shocks[i]
    return rng.uniform(3, 15) * values


def _rate(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(high)))) / HOUR


def slow(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _rate(rng, 1, 5) * TIMES, 0.0


def fast(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _rate(rng, 20, 150) * TIMES, 0.0


def late(rng: np.random.Generator) -> tuple[FloatArray, float]:
    begin = rng.uniform(1, 4) * DAY
    return _rate(rng, 3, 30) * np.maximum(0, TIMES - begin), begin


def restarted_leak(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _rate(rng, 3, 30) * _age(TIMES), 0.0


def leak_under_wave(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _rate(rng, 2, 10) * TIMES + _wave(rng), 0.0


def leak_under_sawtooth(rng: np.random.Generator) -> tuple[FloatArray, float]:
    period = rng.uniform(0.5, 5) * HOUR
    return _rate(rng, 2, 10) * TIMES + rng.uniform(10, 60) * (TIMES / period % 1), 0.0


def level(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return np.zeros(len(TIMES)), np.inf


def noisy(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _correlated(rng), np.inf


def daily(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return _wave(rng), np.inf


def cache(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return rng.uniform(50, 500) * -np.expm1(-TIMES / rng.uniform(0.5, 24) / HOUR), np.inf


def long_tailed_cache(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return rng.uniform(10, 60) * np.log1p(TIMES / rng.uniform(0.1, 2) / HOUR), np.inf


def ramp(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return rng.uniform(50, 500) * np.minimum(1, TIMES / rng.uniform(2, 30) / HOUR), np.inf


def resizing(rng: np.random.Generator) -> tuple[FloatArray, float]:
    moments = rng.uniform(0, 5 * DAY, 4)
    return rng.uniform(5, 20) * 2.0 ** (TIMES[:, None] > moments).sum(axis=1), np.inf


def restarted(rng: np.random.Generator) -> tuple[FloatArray, float]:
    return rng.uniform(50, 300) * -np.expm1(-_age(TIMES) / rng.uniform(0.2, 3) / HOUR), np.inf


SHAPES: tuple[Shape, ...] = (
    slow, fast, late, restarted_leak, leak_under_wave, leak_under_sawtooth,
    level, noisy, daily, cache, long_tailed_cache, ramp, resizing, restarted,
)  # fmt: skip
RESTARTING = (restarted_leak, restarted)

Rule = Callable[[FloatArray, FloatArray, FloatArray], bool]
"""(times, bytes, starts of processes) -> whether memory grows."""


def a_hundred(times: FloatArray, values: FloatArray, starts: FloatArray) -> bool:
    return bool(values[-1] - values[-1 - round(HOUR / STEP)] > 100e6)


def mann_kendall(times: FloatArray, values: FloatArray, starts: FloatArray) -> bool:
    recent = times > times[-1] - DAY
    found = stats.kendalltau(times[recent], values[recent])
    slope = stats.theilslopes(values[recent], times[recent])[0]
    return bool(found.statistic > 0 and found.pvalue < 1e-3 and slope * HOUR > 0.5 * MIB)


def forecast(times: FloatArray, values: FloatArray, starts: FloatArray) -> bool:
    own = times >= starts[-1]
    found = trend(times[own], values[own])
    if found is None:
        return False
    low, high = found.interval()
    return high - low < 2 * CLEAR * found.slope


def growth_test(times: FloatArray, values: FloatArray, starts: FloatArray) -> bool:
    own = times >= starts[-1]
    return rss_grows(times[own], values[own], float(starts[-1]), THRESHOLDS)


def a_day(times: FloatArray, values: FloatArray, starts: FloatArray) -> bool:
    return bool(times[-1] - max(times[0], starts[-1]) >= DAY - STEP) and growth_test(times, values, starts)


RULES: dict[str, Rule] = {
    "100 MB/h": a_hundred,
    "Mann-Kendall": mann_kendall,
    "forecast": forecast,
    "growth test": growth_test,
    "a day of it": a_day,
}


@dataclass
class Tally:
    """Alarms of one rule over all series."""

    right: int = 0
    wrong: int = 0
    growing: int = 0
    hours: list[float] = field(default_factory=list)

    def watch(self, rule: Rule, values: FloatArray, since: float, starts: FloatArray) -> None:
        """Looks at a week every LOOK seconds."""
        saying, caught = False, False
        for end in np.arange(LOOK, WEEK + 1, LOOK):
            seen = end > TIMES
            said = rule(START + TIMES[seen], values[seen], START + starts[starts < end])
            if said and not saying:
                self.right, self.wrong = self.right + int(end > since), self.wrong + int(end <= since)
            if said and end > since and not caught:
                self.hours.append((end - since) / HOUR)
                caught = True
            saying = said
        self.growing += since < WEEK

    def row(self, weeks: int) -> dict[str, float]:
        alarms = self.right + self.wrong
        return {
            "precision": self.right / alarms if alarms else float("nan"),
            "recall": len(self.hours) / self.growing if self.growing else float("nan"),
            "false alarms a week": self.wrong / weeks,
            "hours": median(self.hours) if self.hours else float("nan"),
        }


def recorded(found: Mapping[str, Any], weeks: int, options: str) -> Result:
    """For docs/benchmarks.md."""
    rows = [
        [
            name,
            f"{row['precision']:.2f}",
            f"{row['recall']:.2f}",
            f"{row['false alarms a week']:.3f}",
            f"{row['hours']:.0f}",
        ]
        for name, row in found["rules"].items()
    ]
    columns = ["rule", "alarms that were right", "growth found", "false alarms a week", "hours until found"]
    return Result(
        name="rss_growth",
        order=69,
        title="Growth told from RSS alone",
        about=f"{weeks} simulated weeks of {len(SHAPES)} shapes: six grow without end (slow, fast, late, from"
        " one restart to the next, under a daily wave, beneath a sawtooth), eight don't (level,"
        " autocorrelated noise, daily wave, caches, ramp, doubling, restarts with warm-up). A point each 10"
        ' minutes; each rule looks every 6 hours. "A day of it" is what the product goes by; whatever it says'
        " of RSS, it never says leak.",
        command=f"python -m benchmarks.rss_growth {options} --record",
        tables=[Table("Rules", columns, rows)],
        data=found,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--series", type=int, default=10, help="weeks of each shape (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulation (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    args = parser.parse_args()
    tallies = {name: Tally() for name in RULES}
    wrong: dict[str, dict[str, int]] = {name: {} for name in RULES}
    for number, shape in enumerate(SHAPES):
        for index in range(args.series):
            rng = np.random.default_rng([args.seed, number, index])
            grown, since = shape(rng)
            values = MIB * (
                rng.uniform(100, 400) + grown + rng.uniform(0.3, 3) * rng.standard_normal(len(TIMES))
            )
            starts = RESTARTS if shape in RESTARTING else RESTARTS[:1]
            for name, rule in RULES.items():
                before = tallies[name].wrong
                tallies[name].watch(rule, values, since, starts)
                made = tallies[name].wrong - before
                wrong[name][shape.__name__] = wrong[name].get(shape.__name__, 0) + made
    weeks = args.series * len(SHAPES)
    rows = {name: tally.row(weeks) for name, tally in tallies.items()}
    found = {"rules": rows, "false alarms by shape": wrong}
    if args.json:
        print(json.dumps(found, indent=2))
    if args.record:
        record(recorded(found, weeks, f"--series {args.series} --seed {args.seed}"))
    if args.json or args.record:
        return
    for name, row in rows.items():
        told = ", ".join(f"{shape} {count}" for shape, count in wrong[name].items() if count)
        print(f"{name:14}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items()) + f"  [{told}]")


if __name__ == "__main__":
    main()
