"""What verdicts cost: the share of one core's time and the memory, in a process and in the analyzer.

    python -m benchmarks.verdicts [--sites 5000] [--seconds 600] [--record]

Agent: a real sampler watches `--sites` lines of generated code that each keep a few KiB, 20 of which leak;
the tracker runs on a simulated clock, four calls a second, for `--seconds` of service. CPU is that of its
thread; memory is what tracemalloc finds in the tracker after the same rows were observed again. Searches for
holders are off: they are bounded by a pace of their own.
Analyzer: two instances, an hour of pushes each 5 s, at the default interval of analyses; with as many sites
as the collector delivers, and with all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from heapwatch import sampler as sampling
from heapwatch.identity import Identity
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.sampler import Level, NullSampler, Sampler, Totals
from heapwatch_analyzer.client import SITES
from heapwatch_analyzer.leaks import find
from heapwatch_analyzer.observations import Instance, Observations, SiteTracks, Track
from heapwatch_wire.evidence import Call, Site
from heapwatch_wire.growth import THRESHOLDS
from heapwatch_wire.settings import AgentSettings, AnalyzerSettings

from benchmarks.results import Result, Table, record

INTERVAL = 512
LEAKS = 20
BLOCKS = 5
LEAKED = 8
"""Blocks that a leak keeps each second: half a MiB a minute."""
TICK = 0.25
START = 1.7e9
PUSH = 5.0
HISTORY = 3600.0


class Replayed(NullSampler):
    """Says the same again and again, a little more of it each time."""

    def __init__(self, rows: Sequence[Totals]) -> None:
        super().__init__("")
        self._rows = rows

    def totals(self, live: bool = False) -> list[Totals]:
        """The rows, those of every tenth stack grown."""
        self._rows = [
            row._replace(inuse_bytes=row.inuse_bytes + 4096.0 * (row.stack_id % 10 == 0))
            for row in self._rows
        ]
        return list(self._rows)

    def levels(self) -> Iterator[Level]:
        """The same rows, grown."""
        return ((row.stack_id, row.inuse_bytes, row.inuse_objects) for row in self.totals())


def lines(sites: int) -> Callable[[int], None]:
    """Code of `sites` lines; called with a number, that line keeps a KiB for good."""
    source = [
        "def make(kept):",
        " return [",
        *(f"  lambda: kept.append(bytearray({1024 + i}))," for i in range(sites)),
    ]
    scope: dict[str, Callable[[list[object]], list[Callable[[], None]]]] = {}
    exec(compile("\n".join([*source, " ]"]), "/srv/shop/generated.py", "exec"), scope)  # noqa: S102  # Nothing else has so many lines.
    functions = scope["make"]([])
    return lambda number: functions[number]()


def tracker_of(sampler: Sampler) -> LeakTracker:
    identity = Identity("shop", "1", "host-1-a", 1, "host", "cpython", "3", START)
    return LeakTracker(sampler, AgentSettings(holders=False), identity)


def agent(sites: int, seconds: float) -> dict[str, float]:
    """The tracker's share of a core, and its bytes."""
    sampler = sampling.open_sampler(INTERVAL, 16)
    if sampler.reason:
        sys.exit(f"benchmarks.verdicts: {sampler.reason}")
    keep = lines(sites)
    for number in range(sites):
        for _ in range(BLOCKS):
            keep(number)
    # A short interval made many sites of few bytes; from here on it is a service's.
    sampler.set_interval(AgentSettings().sampling_interval)
    tracker, cpu = tracker_of(sampler), 0.0
    for tick in range(int(seconds / TICK)):
        for number in range(0, LEAKS if tick % 4 == 0 else 0):
            for _ in range(LEAKED):
                keep(number)
        begun = time.thread_time()
        tracker.observe(START + TICK * tick)
        cpu += time.thread_time() - begun
    sampler.stop()
    status = tracker.status()
    return {
        "sites": status["sites"],
        "suspected": status["suspected"],
        "share_of_core": cpu / seconds,
        "observations": status["observe"]["times"],
        "judgements": status["judge"]["times"],
        "bytes": kept_bytes(sampler.totals(live=True), seconds),
    }


def kept_bytes(rows: Sequence[Totals], seconds: float) -> float:
    """Bytes that a tracker keeps after `seconds`, without the rows' own."""
    tracker = tracker_of(Replayed(rows))
    for tick in range(int(seconds / PUSH)):
        if tick == 0:
            tracemalloc.start()
        tracker.observe(START + PUSH * tick)
    found = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(True, "*/heapwatch/leaks/*"), tracemalloc.Filter(True, "*/heapwatch_wire/*")]
    )
    tracemalloc.stop()
    return float(sum(trace.size for trace in found.traces))


def analyzer(sites: int) -> dict[str, float]:
    """The share of a core that verdicts on `sites` sites take, one of 250 of which leaks."""
    rng = np.random.default_rng(1)
    times = START + np.arange(0.0, HISTORY, PUSH)
    instances = tuple(Instance(f"host-{i}", f"host-{i}", i, START, float(times[-1]), 1e9) for i in range(2))
    found = []
    for number in range(sites):
        level = 65536 * 10 ** rng.uniform(0, 3)
        rate = 65536 / 20 if number % 250 == 0 else 0.0
        tracks = {}
        for instance in instances:
            noise = rng.poisson(level / 65536, len(times)) * 65536.0
            size = noise + np.cumsum(rng.poisson(rate * PUSH / 65536, len(times))) * 65536.0
            tracks[instance.id] = Track(times, size, size / 200)
        call = Call(f"f{number}", "/srv/shop/views.py", number)
        found.append(SiteTracks(Site(f"{number:016x}", call.function, call.file, call.line, call), tracks))
    seen = Observations("shop", "1", float(times[-1]), HISTORY, instances, sites=tuple(found))
    begun = time.process_time()
    verdicts = find(seen, THRESHOLDS, ())
    spent = time.process_time() - begun
    interval = AnalyzerSettings().analyze_interval
    return {"sites": sites, "leaks": len(verdicts.leaks), "seconds": spent, "share_of_core": spent / interval}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sites", type=int, default=5000, help="lines of code that allocate (default 5000)")
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="simulated time of service (default 600)"
    )
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    args = parser.parse_args()
    found = {
        "agent": agent(args.sites, args.seconds),
        "analyzer": analyzer(min(args.sites, SITES)),
        "analyzer, all sites": analyzer(args.sites),
    }
    if not args.record:
        print(json.dumps(found, indent=2))
        return
    rows = [
        [name, f"{row['sites']:,.0f}", f"{row['share_of_core']:.2%}", note(row)]
        for name, row in found.items()
    ]
    about = (
        "The agent's tracker beside a real sampler at its default interval, on a simulated clock; the"
        " analyzer on an hour of pushes, one each 5 s, of two instances. CPU time over the time simulated,"
        " and over the interval of analyses. The agent looks less often rather than cost more."
    )
    columns = ["what", "sites", "of a core", "found"]
    record(
        Result(
            name="verdicts",
            order=70,
            title="What verdicts cost",
            about=about,
            command="python -m benchmarks.verdicts --record",
            tables=[Table("CPU", columns, rows)],
            data=found,
        )
    )


def note(row: dict[str, float]) -> str:
    """What was found of the leaks, and in an agent with what memory."""
    if "leaks" in row:
        return f"{row['leaks']:.0f} leaks"
    return f"{row['suspected']:.0f} of {LEAKS} suspected; keeps {row['bytes'] / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
