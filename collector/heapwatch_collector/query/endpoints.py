"""What the API says of endpoints: averages of one request over a range, and the course of their requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heapwatch_wire.histogram import quantile

from heapwatch_collector.store.endpoints import ALLOCATED, REQUESTS, TASKS, Increase, Window

POINTS = 30
SHORTEST_STEP = 20_000
"""Milliseconds: two of the agent's usual push intervals, so that no step is empty between pushes."""
FAILURES = frozenset({"failure", "error"})


@dataclass
class _Sum:
    """A metric's increase over the range."""

    value: float = 0.0
    count: int = 0
    bounds: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list)

    def add(self, grown: Increase) -> None:
        self.value += grown.value
        self.count += grown.count
        if not self.counts or self.bounds != grown.bounds:
            self.bounds, self.counts = grown.bounds, [0] * len(grown.counts)
        self.counts = [a + b for a, b in zip(self.counts, grown.counts, strict=True)]


@dataclass
class _Endpoint:
    sums: dict[str, _Sum] = field(default_factory=lambda: defaultdict(_Sum))
    errors: int = 0
    steps: dict[int, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(self, grown: Increase) -> None:
        is_duration = grown.name in (REQUESTS, TASKS)
        self.sums[REQUESTS if is_duration else grown.name].add(grown)
        if is_duration and (grown.outcome.startswith("5") or grown.outcome in FAILURES):
            self.errors += grown.count
        if is_duration:
            self.steps[grown.time][0] += grown.count
        elif grown.name == ALLOCATED:
            self.steps[grown.time][1] += grown.value


def step_of(start: int, end: int) -> int:
    """Milliseconds of a step of which a range (Unix ms) has about POINTS."""
    return max(SHORTEST_STEP, (end - start) // POINTS)


def describe(grown: Iterable[Increase], live: Mapping[str, float], window: Window) -> dict[str, Any]:
    """The answer of the API: `seconds` that were seen, and an object per endpoint, the busiest first."""
    found: dict[str, _Endpoint] = defaultdict(_Endpoint)
    times = set()
    for one in grown:
        found[one.endpoint].add(one)
        times.add(one.time)
    steps = list(range(min(times), max(times) + 1, window.step)) if times else []
    seconds = (
        (min(steps[-1] + window.step, window.end) - max(steps[0], window.start)) / 1000 if steps else 0.0
    )
    described = [_endpoint(name, found[name], live.get(name, 0.0), steps) for name in {**found, **live}]
    return {"seconds": seconds, "endpoints": sorted(described, key=lambda e: (-e["requests"], e["name"]))}


def _endpoint(name: str, seen: _Endpoint, live: float, steps: Sequence[int]) -> dict[str, Any]:
    durations = seen.sums[REQUESTS]
    requests = durations.count

    def mean(metric: str) -> float | None:
        """Of one request; None where nobody told of it."""
        total = seen.sums.get(metric)
        if total is None:
            return None
        divisor = total.count if total.bounds else requests
        return total.value / divisor if divisor else None

    return {
        "name": name,
        "requests": requests,
        "errors": seen.errors,
        "duration": mean(REQUESTS),
        "p50": quantile(durations.bounds, durations.counts, 0.5),
        "p99": quantile(durations.bounds, durations.counts, 0.99),
        "allocated": mean(ALLOCATED),
        "retained": mean("heapwatch.endpoint.retained"),
        "peak": mean("heapwatch.endpoint.peak"),
        "gc": mean("heapwatch.endpoint.gc.pause"),
        "cpu": mean("heapwatch.endpoint.cpu"),
        "statements": mean("heapwatch.endpoint.queries"),
        "repeated": mean("heapwatch.endpoint.queries.repeated"),
        "statement_seconds": mean("heapwatch.endpoint.queries.time"),
        "template_seconds": mean("heapwatch.endpoint.templates.time"),
        "live": live,
        "points": [[time / 1000, *seen.steps.get(time, (0.0, 0.0))] for time in steps],
    }
