"""What the GC tuner is worth: the reference service with a large heap under gunicorn and load.

    python -m benchmarks.gc_tuner [--worker gthread|sync] [--turns 40] [--seconds 3] [--heap 300] [--starts 1]

Two workers share a heap that was loaded before the fork. Memory is compared between fresh servers, after
`--requests` requests, since a process seldom gives memory back. All else is compared between two servers that
run at the same time, so that whatever else the machine does meets both. The tuner of one acts while that of
the other is off, for a block of a few seconds; then they change places, by the control socket. A pair is two
such blocks, so what sets the two servers apart falls out of its ratio. Before the first one both observe, as
a tuner does while a process warms up. One that undoes what it did stays in the figures. The load is closed:
everybody asks for the next page as soon as the last one is there.

A pause is the CPU time of a collection, seen by each request that runs meanwhile; counted by a gc callback of
the benchmark's own. CPU time is what a busy machine disturbs least; requests' durations are the clients', so
they hold the wait for a worker that collects between requests.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from heapwatch.control.client import Client
from heapwatch.memory.mappings import read_mappings

from benchmarks.gc_tuner_load import Reader, Seen
from benchmarks.results import Result, Table, record, versions
from benchmarks.servers import children, gunicorn, wait_for

OFF, OBSERVE, ACT = "off", "observe", "act"
OPTIONS = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread", "--threads", "4", "--keep-alive", "65"]}
WORKERS = 2
CLIENTS = 4
USUAL = (3, 11)
WARMUP = 2.0
LOOK = 20.0
"""Seconds in which the tuners only observe, before the first turn."""
SETTLE = 0.5
SWITCH_LIMIT = 60.0
RESAMPLES = 4000
MIB = 1 << 20


@dataclass(frozen=True)
class Block:
    """A mode's figures over a few seconds; seconds, `per_cpu` requests per CPU second of the workers."""

    requests: int
    pause_mean: float
    pause_p99: float
    pause_longest: float
    stopped: float
    cpu_p99: float
    duration_p50: float
    duration_p99: float
    per_second: float
    per_cpu: float


FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "pause_p99": ("GC pause of a request, p99", lambda x: f"{1e3 * x:.3f} ms"),
    "pause_mean": ("GC pause of a request, mean", lambda x: f"{1e3 * x:.3f} ms"),
    "pause_longest": ("GC pause of a request, longest of a block", lambda x: f"{1e3 * x:.3f} ms"),
    "stopped": ("requests with a GC pause", lambda x: f"{x:.1%}"),
    "cpu_p99": ("CPU time of a request, p99", lambda x: f"{1e3 * x:.2f} ms"),
    "duration_p99": ("duration of a request, p99", lambda x: f"{1e3 * x:.1f} ms"),
    "duration_p50": ("duration of a request, median", lambda x: f"{1e3 * x:.1f} ms"),
    "per_cpu": ("requests per CPU second", lambda x: f"{x:.1f}"),
    "per_second": ("requests per second", lambda x: f"{x:.1f}"),
}


class Service:
    """A running server with load on it."""

    def __init__(self, main: int, port: int, folder: Path, clients: int) -> None:
        self.main, self._client = main, Client(str(folder))
        wait_for(lambda: all(map(self._client.has_agent, children(main))), SWITCH_LIMIT, "the agents")
        self.workers = children(main)
        pin(self.workers)
        self._readers = [Reader(port, seed) for seed in range(clients)]
        for reader in self._readers:
            reader.start()

    def stop(self) -> None:
        for reader in self._readers:
            reader.stop()

    def seen(self) -> list[Seen]:
        """Requests since the last call; RuntimeError when one failed."""
        failures = [reader.failure for reader in self._readers if reader.failure]
        if failures:
            raise RuntimeError(f"the load failed: {failures[0]}")
        taken: list[Seen] = []
        for reader in self._readers:
            found, reader.seen = reader.seen, []
            taken += found
        return taken

    def switch(self, mode: str) -> None:
        """Give the tuners of all workers another mode; return when they follow it, or have undone it."""
        since = time.time()
        for pid in self.workers:
            self._client.call(pid, "gc", action="tune", mode=mode)
        if mode == ACT:
            wait_for(lambda: self._follow(since), SWITCH_LIMIT, "the tuners to act")

    def _follow(self, since: float) -> bool:
        return all(self._acts(pid, since) for pid in self.workers)

    def _acts(self, pid: int, since: float) -> bool:
        state = self._client.call(pid, "gc")
        tuner = state["tuner"]
        undone = any(action["kind"] == "undo" and action["time"] > since for action in tuner["recent"])
        return undone or (bool(tuner["acting"]) and state["frozen"] > 100_000)

    def begin(self) -> None:
        """A block begins."""
        self.seen()
        self._cpu, self._began = sum(map(cpu_seconds, self.workers)), time.perf_counter()

    def end(self) -> Block:
        """What came since `begin`."""
        seen, elapsed = self.seen(), time.perf_counter() - self._began
        cpu = sum(map(cpu_seconds, self.workers)) - self._cpu
        durations, pauses, own = (np.array(column) for column in zip(*seen, strict=True))
        return Block(
            requests=len(seen),
            pause_mean=float(pauses.mean()),
            pause_p99=float(np.quantile(pauses, 0.99)),
            pause_longest=float(pauses.max()),
            stopped=float((pauses > 0).mean()),
            cpu_p99=float(np.quantile(own, 0.99)),
            duration_p50=float(np.quantile(durations, 0.5)),
            duration_p99=float(np.quantile(durations, 0.99)),
            per_second=len(seen) / elapsed,
            per_cpu=len(seen) / cpu,
        )

    def memory(self) -> int:
        """PSS of all processes together: what the server takes of the machine."""
        processes = [self.main, *self.workers]
        return sum(p.pss for pid in processes for p in read_mappings(process=str(pid)).values())


def pin(workers: Sequence[int]) -> None:
    """One processor for each worker, the same for both servers: processors of one machine differ in speed."""
    processors = sorted(os.sched_getaffinity(0))
    for number, worker in enumerate(sorted(workers)):
        for task in Path(f"/proc/{worker}/task").iterdir():
            os.sched_setaffinity(int(task.name), {processors[number % len(processors)]})


def cpu_seconds(pid: int) -> float:
    """CPU time of a process's threads, exact to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def serving(mode: str, args: argparse.Namespace) -> Iterator[Service]:
    """A fresh server whose tuner begins in `mode`."""
    with tempfile.TemporaryDirectory() as name:
        env = {
            "HEAPWATCH_GC_TUNER": mode,
            "HEAPWATCH_GC_WARMUP": str(WARMUP),
            "HEAPWATCH_RUNTIME_DIR": name,
            "HEAPWATCH_APP_DATA": f"{name}/app",
            "HEAPWATCH_APP_PASSWORD_COST": "10",
            "BENCHMARK_HEAP": str(args.heap * MIB),
        }
        seed = [sys.executable, "-m", "heapwatch", "app", "seed"]
        subprocess.run(seed, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
        with gunicorn("benchmarks.gc_tuner_app", WORKERS, OPTIONS[args.worker], env) as (main, port):
            service = Service(main, port, Path(name), args.clients)
            try:
                yield service
            finally:
                service.stop()


def measure_memory(args: argparse.Namespace) -> dict[str, list[int]]:
    """PSS of servers after the same number of requests."""
    found: dict[str, list[int]] = {OFF: [], ACT: []}
    for start in range(args.starts):
        for mode in (OFF, ACT) if start % 2 == 0 else (ACT, OFF):
            with serving(mode, args) as service:
                done = 0
                while done < args.requests:
                    time.sleep(0.2)
                    done += len(service.seen())
                found[mode].append(service.memory())
            print(f"{mode}: PSS {found[mode][-1] / MIB:.1f} MiB after {done} requests", flush=True)
    return found


def measure_blocks(args: argparse.Namespace) -> list[dict[str, Block]]:
    """A block of each mode for each turn; two servers change places from turn to turn."""
    turns = []
    with serving(OBSERVE, args) as first, serving(OBSERVE, args) as second:
        time.sleep(LOOK)
        for turn in range(args.turns):
            placed = {OFF: first, ACT: second} if turn % 2 == 0 else {OFF: second, ACT: first}
            for mode, service in placed.items():
                service.switch(mode)
            time.sleep(SETTLE)
            for service in placed.values():
                service.begin()
            time.sleep(args.seconds)
            blocks = {mode: service.end() for mode, service in placed.items()}
            turns.append(blocks)
            off, act = blocks[OFF], blocks[ACT]
            print(
                f"{turn + 1}: pause p99 {1e3 * off.pause_p99:.3f} -> {1e3 * act.pause_p99:.3f} ms,"
                f" requests per CPU second {off.per_cpu:.1f} -> {act.per_cpu:.1f}",
                flush=True,
            )
    return turns


def pair_ratios(turns: Sequence[dict[str, Block]], name: str) -> list[float]:
    """Act against off, the geometric mean of two turns in which the servers changed places."""
    ratios = [
        getattr(turn[ACT], name) / getattr(turn[OFF], name) if getattr(turn[OFF], name) else 1.0
        for turn in turns
    ]
    return [math.sqrt(ratio * other) for ratio, other in zip(ratios[::2], ratios[1::2], strict=True)]


def change(ratios: Sequence[float]) -> str:
    """Median of the ratios, less one, with its 95% interval from resampling them."""
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return f"{np.median(ratios) - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"


def table(turns: Sequence[dict[str, Block]], memory: dict[str, list[int]]) -> Table:
    rows = []
    for name, (title, text) in FIGURES.items():
        medians = [statistics.median(getattr(turn[mode], name) for turn in turns) for mode in (OFF, ACT)]
        rows.append([title, *map(text, medians), change(pair_ratios(turns, name))])
    if memory[OFF]:
        sizes = [f"{statistics.median(memory[mode]) / MIB:.1f} MiB" for mode in (OFF, ACT)]
        ratios = [act / off for off, act in zip(memory[OFF], memory[ACT], strict=True)]
        rows.append(["memory of all processes (PSS)", *sizes, change(ratios)])
    requests = sum(block.requests for turn in turns for block in turn.values())
    note = (
        f"Medians of {len(turns)} blocks of each, {requests:,} requests; the change is the median of the "
        f"ratios of {len(turns) // 2} pairs. Durations are the clients', so they hold the wait for a worker "
        "that collects between two requests."
    )
    return Table("The tuner off, and acting", ["figure", OFF, ACT, "change (95% interval)"], rows, note)


def even(text: str) -> int:
    number = int(text)
    if number < 2 or number % 2:
        raise argparse.ArgumentTypeError("must be an even number")
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--worker", choices=sorted(OPTIONS), default="gthread", help="gunicorn's worker class"
    )
    parser.add_argument("--turns", type=even, default=40, help="blocks with each mode, an even number")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a block")
    parser.add_argument("--heap", type=int, default=300, help="MiB loaded before the fork")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="people who read at the same time")
    parser.add_argument("--starts", type=int, default=1, help="fresh servers of each mode, for their memory")
    parser.add_argument("--requests", type=int, default=1500, help="requests before memory is read")
    return parser.parse_args()


def naming(args: argparse.Namespace) -> tuple[str, str]:
    """The result's name and title: each load, kind of worker and CPython has its own."""
    name, title = "gc_tuner", "The tuner of the garbage collector"
    if args.worker != "gthread":
        name, title = f"{name}_{args.worker}", f"{title}, {args.worker} workers"
    if args.clients > CLIENTS:
        name, title = f"{name}_{args.clients}", f"{title}, {args.clients} readers"
    release = sys.version_info[:2]
    if release != USUAL:
        name, title = f"{name}_cp{release[0]}{release[1]}", f"{title}, CPython {release[0]}.{release[1]}"
    return name, title


def main() -> int:
    args = arguments()
    memory = measure_memory(args)
    turns = measure_blocks(args)
    about = (
        f"The reference service under gunicorn with {WORKERS} {args.worker} workers, which share {args.heap} "
        f"MiB loaded before the fork, and {args.clients} readers who never rest. Two such servers run at "
        "once: the tuner of one acts while that of the other is off, and every few seconds they change "
        "places. Memory is that of fresh servers. Pauses are the CPU time of collections while a request ran."
    )
    command = f"python -m benchmarks.gc_tuner --worker {args.worker} --turns {args.turns}"
    command += f" --clients {args.clients}" if args.clients != CLIENTS else ""
    data = {"turns": [{mode: asdict(block) for mode, block in turn.items()} for turn in turns], "pss": memory}
    name, title = naming(args)
    machine = versions("flask", "gunicorn", "sqlalchemy")
    record(Result(name, 70, title, about, command, [table(turns, memory)], data, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
