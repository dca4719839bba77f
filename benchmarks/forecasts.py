"""How often forecasts of the time to the memory limit hold: simulated series, and real servers that age.

    python benchmarks/forecasts.py [--data DIR] [--series N] [--json]

A forecast gives the time to a limit with an 80% interval; here the future is known, so the share of intervals
that hold it is counted. A series that doesn't meet its limit in the time that is known counts as held when
the interval's end lies beyond that time, or is open. `wide` is the median of high over low: a forecast that
says "between a minute and a year" holds too, and helps nobody.

DIR is a folder with `llm_aging/monitoring_dev.csv.gz` (columns trace, t_s, used_mb): memory of machines that
serve language models under load, a point a minute. Without it only simulated series are run.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from heapwatch_analyzer.forecasts import CONFIDENCE, to_limit, trend
from heapwatch_analyzer.observations import FloatArray

MIB = float(1 << 20)
STEP = 10.0
HISTORY = 3600.0
FUTURE = 8 * HISTORY


@dataclass
class Tally:
    """What came of the forecasts of one kind of series."""

    made: int = 0
    held: int = 0
    silent: int = 0
    silent_right: int = 0
    widths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        return {
            "forecasts": self.made,
            "held": self.held / self.made if self.made else float("nan"),
            "wide": float(np.median(self.widths)) if self.widths else float("nan"),
            "error": float(np.median(self.errors)) if self.errors else float("nan"),
            "none": self.silent,
            "none_right": self.silent_right / self.silent if self.silent else float("nan"),
        }


def judge(tally: Tally, times: FloatArray, values: FloatArray, now: int, limit: float) -> None:
    """Forecast at index `now` from what came before, and compare with what came after."""
    found = trend(times[:now], values[:now])
    later = np.flatnonzero(values[now:] >= limit)
    known = float(times[-1] - times[now - 1])
    actual = float(times[now + later[0]] - times[now - 1]) if later.size else np.inf
    forecast = to_limit(found, limit) if found is not None else None
    if forecast is None:
        tally.silent += 1
        tally.silent_right += not np.isfinite(actual)
        return
    high = np.inf if forecast.high is None else forecast.high
    tally.made += 1
    tally.held += forecast.low <= actual <= high if np.isfinite(actual) else high >= known
    if np.isfinite(high) and forecast.low > 0:
        tally.widths.append(high / forecast.low)
    if np.isfinite(actual) and actual > 0:
        tally.errors.append(abs(forecast.seconds - actual) / actual)


Kind = Callable[[np.random.Generator, FloatArray], FloatArray]


def _rate(rng: np.random.Generator) -> float:
    """Bytes per second: 1 MiB to 300 MiB an hour, all orders alike."""
    return float(np.exp(rng.uniform(np.log(1), np.log(300)))) * MIB / 3600


def _noise(rng: np.random.Generator, count: int, scale: float, memory: float) -> FloatArray:
    out = np.empty(count)
    out[0] = rng.normal()
    shocks = rng.standard_normal(count) * np.sqrt(1 - memory**2)
    for i in range(1, count):
        out[i] = memory * out[i - 1] + shocks[i]
    return out * scale


def line(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    return _rate(rng) * t + rng.standard_normal(len(t)) * rng.uniform(0.1, 3) * MIB


def busy(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    return _rate(rng) * t + _noise(rng, len(t), rng.uniform(0.5, 5) * MIB, rng.uniform(0.8, 0.99))


def walk(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    """Growth by requests that each leave something, now more and now less of them."""
    rate = _rate(rng)
    steps = rng.exponential(1, len(t)) * rate * STEP
    return np.cumsum(steps) + rng.standard_normal(len(t)) * 0.3 * MIB


def bursts(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    rate = _rate(rng)
    chance = rng.uniform(0.01, 0.1)
    return np.cumsum((rng.random(len(t)) < chance) * rng.exponential(1, len(t)) * rate * STEP / chance)


def sawtooth(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    period, height = rng.uniform(30, 400), rng.uniform(1, 20) * MIB
    return _rate(rng) * t + height * ((t / period) % 1) + rng.standard_normal(len(t)) * 0.2 * MIB


def late(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    start = rng.uniform(0.1, 0.7) * HISTORY
    return _rate(rng) * np.maximum(0, t - start) + _noise(rng, len(t), 0.5 * MIB, 0.7)


def flat(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    return _noise(rng, len(t), rng.uniform(0.5, 5) * MIB, rng.uniform(0.5, 0.98))


def filled(rng: np.random.Generator, t: FloatArray) -> FloatArray:
    """Caches that fill and are full before the end of the history."""
    return rng.uniform(5, 80) * MIB * -np.expm1(-t / rng.uniform(100, 700)) + _noise(rng, len(t), MIB, 0.8)


SIMULATED: tuple[Kind, ...] = (line, busy, walk, bursts, sawtooth, late, flat, filled)


def simulated(kind: Kind, count: int) -> Tally:
    """`count` series of `kind`; the limit is met after a quarter to six times the history, if it is at all
    5% above what the history used.
    """
    tally = Tally()
    t = np.arange(0.0, HISTORY + FUTURE, STEP)
    now = int(HISTORY / STEP)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        values = 100 * MIB + kind(rng, t)
        end = int((1 + rng.uniform(0.25, 6)) * HISTORY / STEP)
        limit = max(float(values[:end].max()), 1.05 * float(values[:now].max()))
        judge(tally, t, values, now, limit)
    return tally


def aging(path: Path) -> Tally:
    """Each trace each 2 hours from 3 of them, with limits a little and much above what was used."""
    tally = Tally()
    for times, used in _traces(path):
        for now in range(180, len(times) - 60, 120):
            recent = slice(max(0, now - 180), None)
            spread = float(np.ptp(used))
            for share in (0.02, 0.05, 0.1, 0.2):
                limit = float(used[now - 180 : now].max()) + share * spread
                judge(tally, times[recent], used[recent], min(180, now), limit)
    return tally


def _traces(path: Path) -> Iterator[tuple[FloatArray, FloatArray]]:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            if row["used_mb"]:
                points[row["trace"]].append((float(row["t_s"]), float(row["used_mb"]) * 1e6))
    for rows in points.values():
        table = np.array(sorted(rows))
        yield table[:, 0], table[:, 1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds llm_aging/")
    parser.add_argument("--series", type=int, default=300, help="simulated series per kind (default: 300)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found = {}
    for kind in SIMULATED:
        print(f"simulating {kind.__name__} ...", file=sys.stderr)
        found[kind.__name__] = simulated(kind, args.series).row()
    path = args.data / "llm_aging" / "monitoring_dev.csv.gz" if args.data else None
    if path is not None and path.is_file():
        found["llm_aging (real)"] = aging(path).row()
    else:
        what = f"{path} is missing" if path else "give --data DIR"
        print(f"skipped: real series ({what})", file=sys.stderr)
    if args.json:
        print(json.dumps(found))
        return 0
    held = f"held ({CONFIDENCE:.0%})"
    print(f"{'series':18}{'forecasts':>10}{held:>12}{'wide':>8}{'error':>8}{'none':>7}{'right':>7}")
    for name, row in found.items():
        print(
            f"{name:18}{row['forecasts']:10.0f}{row['held']:12.2f}{row['wide']:8.1f}{row['error']:8.2f}"
            f"{row['none']:7.0f}{row['none_right']:7.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
