"""Whether the agent's own memory stays flat while a service churns: hours of work in minutes.

    python -m benchmarks.soak [--minutes 120] [--interval 16384]

A child process runs the whole agent and does everything that fills tables: code made at run time, threads
that come and go, deep and shallow stacks, endpoints, a live set that turns over. Every five seconds it says
what the agent takes: the sampler's tables (own_bytes), what the agent's Python code holds (agent_bytes), and
RSS. Each is judged by the growth test that judges services (`heapwatch_wire.growth`); a leak, or the
suspicion of one, ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import heapwatch
from heapwatch_wire.growth import Finding, Series, judge
from heapwatch_wire.settings import AgentSettings

from benchmarks.results import Result, Table, record

EVERY = 5.0
PAGE = os.sysconf("SC_PAGE_SIZE")
BUSY = 10_000 * 100
"""Allocations per second of a busy service: 100 requests a second of 10,000 allocations each."""
ENDPOINTS = 200
LIVE = 5_000
DEFAULT = AgentSettings().sampling_interval
MEASURES = {
    "own_bytes": "the sampler's tables",
    "agent_bytes": "Python objects of the agent",
    "rss_bytes": "RSS of the process",
}


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


# --- the child: the agent, and work for it ------------------------------------------------------------------


def generated(dice: random.Random) -> object:
    """What functions that never were before allocate, as templates and class factories do."""
    source = "def made(n):\n    return [str(i) * 3 for i in range(n)]\nkept = made(50)\n"
    space: dict[str, Any] = {}
    exec(compile(source, f"<template {dice.randrange(10**9)}>", "exec"), space)  # noqa: S102
    return space["kept"]


def deep(levels: int) -> object:
    """What is allocated far down the stack."""
    return deep(levels - 1) if levels else [bytearray(200) for _ in range(20)]


def request(dice: random.Random, live: deque[object]) -> None:
    """One turn of work under an endpoint's label; some of what it makes lives on for a while."""
    with heapwatch.tag(f"GET /{dice.randrange(ENDPOINTS)}"):
        live.append(
            {"text": "x" * dice.randrange(2000), "items": [{"n": i} for i in range(dice.randrange(30))]}
        )
        live.append(deep(dice.randrange(80)))
        for _ in range(20):
            json.loads(json.dumps([{"id": i, "name": f"name {i}"} for i in range(20)]))
    if dice.random() < 0.05:
        live.append(generated(dice))


def work(until: float) -> None:
    """Requests in threads that live for a second, as in a server that recycles them."""
    live: deque[object] = deque(maxlen=LIVE)

    def serve(seed: float) -> None:
        dice = random.Random(seed)
        end = min(until, time.monotonic() + 1.0)
        while time.monotonic() < end:
            request(dice, live)

    while time.monotonic() < until:
        threads = [threading.Thread(target=serve, args=(random.random(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def child(seconds: float, interval: int) -> None:
    """Works for `seconds` and prints a JSON line every five: time, the three measures, allocations so far."""
    heapwatch.start(service="soak", sampling_interval=interval, sampling_budget=0.0)
    worker = threading.Thread(target=work, args=(time.monotonic() + seconds,))
    worker.start()
    while worker.is_alive():
        worker.join(EVERY)
        sampler = heapwatch.status()["sampler"]
        row = {name: sampler[name] for name in ("own_bytes", "agent_bytes", "allocations", "samples")}
        print(json.dumps({"time": time.time(), "rss_bytes": resident(), **row}), flush=True)


# --- the parent: reads and judges -----------------------------------------------------------------------


def rows_of(minutes: float, interval: int) -> Iterator[dict[str, float]]:
    options = ["--child", "--minutes", str(minutes), "--interval", str(interval)]
    command = [sys.executable, "-m", "benchmarks.soak", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            yield json.loads(line)
    if running.returncode:
        raise RuntimeError(f"the service ended with {running.returncode}")


def judged(rows: Sequence[dict[str, float]], measure: str, interval: int) -> Finding:
    """What the growth test says of a measure: tables and RSS grow by pages, what is sampled by intervals."""
    quantum = float(interval if measure == "agent_bytes" else PAGE)
    points = [(row["time"], row[measure], row[measure] / quantum) for row in rows]
    return judge([Series(points, quantum)])


def table(rows: Sequence[dict[str, float]], findings: dict[str, Finding]) -> Table:
    lines = []
    for measure, finding in findings.items():
        values = [row[measure] for row in rows]
        places = [values[len(values) // 10], values[len(values) // 2], values[-1], max(values)]
        lines.append([MEASURES[measure], *(f"{value / 1e6:.2f} MB" for value in places), finding.decision])
    return Table(
        "Memory of the agent under churn",
        ["", "after a tenth", "half-way", "at the end", "most", "growth test"],
        lines,
    )


def report(rows: Sequence[dict[str, float]], interval: int, findings: dict[str, Finding]) -> Result:
    minutes, allocations = (rows[-1]["time"] - rows[0]["time"]) / 60, rows[-1]["allocations"]
    hours = allocations / BUSY / 3600
    about = (
        f"{minutes:.0f} minutes of churn with the whole agent, a sample every {interval} bytes: "
        f"{allocations:.3g} allocations and {rows[-1]['samples']:.3g} samples. A busy service (100 requests "
        f"a second of 10,000 allocations each) takes {hours:.1f} hours for as many allocations, and at the "
        f"default interval {hours * DEFAULT / interval:.1f} hours for as many samples."
    )
    command = f"python -m benchmarks.soak --minutes {minutes:.0f} --interval {interval}"
    return Result("soak", 60, "Soak", about, command, [table(rows, findings)], list(rows))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120, help="how long (default: 120)")
    parser.add_argument(
        "--interval", type=int, default=16384, help="mean bytes between samples (default: 16384)"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        child(60 * chosen.minutes, chosen.interval)
        return 0
    rows = []
    for row in rows_of(chosen.minutes, chosen.interval):
        rows.append(row)
        sizes = ", ".join(f"{name} {row[name]:,.0f}" for name in MEASURES)
        print(f"{row['allocations']:.3g} allocations: {sizes}", file=sys.stderr)
    findings = {measure: judged(rows, measure, chosen.interval) for measure in MEASURES}
    record(report(rows, chosen.interval, findings))
    for measure, finding in findings.items():
        print(f"{measure}: {finding.decision} {'; '.join(finding.reasons)}")
    return int(any(finding.decision in ("leak", "suspicion") for finding in findings.values()))


if __name__ == "__main__":
    sys.exit(main())
