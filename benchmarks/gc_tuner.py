"""What the GC tuner is worth: a Flask application with a large live heap under gunicorn and load.

    python -m benchmarks.gc_tuner [--seconds 10] [--rounds 2] [--worker sync|gthread] [--objects 1500000]

Each measurement is a fresh gunicorn with one worker; "off" and "act" take turns. Both have the agent, so that
the tuner alone makes the difference. The load is closed: every client asks again as soon as it has its
answer, so there is no idle time to hide collections in. Pauses are counted by the application's own gc
callback, not by the agent: pause_* is the time that collections took while a request ran, over all requests
(pause_seen_*: over those that saw any). request_* are durations as clients see them, waiting included;
cpu_per_request is what a busy machine disturbs least.
Reported is act against off in the same round: median of the rounds. Writes JSON and prints a table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import machine

APP = Path(__file__).with_name("gc_tuner_app.py")
MODES = ("off", "act")
CLIENTS = {"sync": 2, "gthread": 4}
WARMUP = 3.0
FIGURES = (
    "pause_p99",
    "pause_p999",
    "pause_longest",
    "pause_seen_p99",
    "pause_share",
    "request_p50",
    "request_p99",
    "throughput",
    "cpu_per_request",
    "rss",
    "peak",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body
    finally:
        connection.close()


@contextmanager
def serving(mode: str, worker: str, objects: int, folder: Path) -> Iterator[int]:
    """A gunicorn with one worker; its port."""
    port = free_port()
    environment = {
        **os.environ,
        "HEAPWATCH_GC_TUNER": mode,
        "HEAPWATCH_GC_WARMUP": str(WARMUP),
        "HEAPWATCH_RUNTIME_DIR": str(folder),
        "OBJECTS": str(objects),
    }
    command = [sys.executable, "-m", "gunicorn", f"{APP.stem}:application", "-b", f"127.0.0.1:{port}"]
    command += ["-w", "1", "-k", worker, "-t", "120", "--chdir", str(APP.parent), "--log-level", "warning"]
    if worker == "gthread":
        command += ["--threads", "4"]
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        wait_for(lambda: answers(port), 120, "the application to load")
        yield port
    finally:
        # Not gracefully: to take down a heap of this size object by object takes long, and tells nothing.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(port: int) -> bool:
    try:
        get(port, "/state")
    except (OSError, http.client.HTTPException):
        return False
    return True


def wait_for(condition: Any, limit: float, what: str) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {limit:.0f} s for {what}")
        time.sleep(0.2)


class Load:
    """Clients that ask without a rest until `stop`; `durations` in seconds since the last `reset`."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._halt = threading.Event()
        self.durations: list[float] = []
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, seed: int) -> None:
        choose = random.Random(seed)
        while not self._halt.is_set():
            began = time.perf_counter()
            get(self._port, f"/page/{choose.randrange(4000)}")
            self.durations.append(time.perf_counter() - began)

    def reset(self) -> None:
        self.durations = []

    def stop(self) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join()


def measure(mode: str, worker: str, objects: int, seconds: float) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(mode, worker, objects, Path(folder)) as port,
    ):
        load = Load(port, CLIENTS[worker])
        try:
            time.sleep(3 * WARMUP)
            if mode == "act":
                wait_for(lambda: json.loads(get(port, "/state"))["frozen"], 60, "the tuner to act")
            get(port, "/reset")
            load.reset()
            began = time.perf_counter()
            time.sleep(seconds)
            durations, elapsed = sorted(load.durations), time.perf_counter() - began
            figures = json.loads(get(port, "/figures"))
        finally:
            load.stop()
    return {
        **figures,
        "requests": len(durations),
        "throughput": len(durations) / elapsed,
        "request_p50": quantile(durations, 0.5),
        "request_p99": quantile(durations, 0.99),
    }


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def compare(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name in FIGURES:
        off, act = ([run[name] for run in runs[mode]] for mode in MODES)
        ratios = [after / before for before, after in zip(off, act, strict=True) if before]
        table[name] = {
            "off": statistics.median(off),
            "act": statistics.median(act),
            "ratio": statistics.median(ratios) if ratios else None,
        }
    return table


def show(table: dict[str, Any]) -> None:
    for name, row in table.items():
        ratio = "" if row["ratio"] is None else f"{100 * (row['ratio'] - 1):+.1f} %"
        print(f"{name:16} off {row['off']:14.6g} act {row['act']:14.6g} {ratio:>10}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=2, help="times that off and act are each measured")
    parser.add_argument("--worker", choices=sorted(CLIENTS), default="sync", help="gunicorn's worker class")
    parser.add_argument("--objects", type=int, default=1_500_000, help="long-lived objects in the heap")
    parser.add_argument(
        "--output", type=Path, default=Path("build/benchmarks/gc_tuner.json"), help="where the JSON goes"
    )
    return parser.parse_args()


def main() -> int:
    args = arguments()
    runs: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for turn in range(args.rounds):
        for mode in MODES if turn % 2 == 0 else reversed(MODES):
            runs[mode].append(measure(mode, args.worker, args.objects, args.seconds))
    table = compare(runs)
    show(table)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine(), "worker": args.worker, "objects": args.objects, "runs": runs}
    args.output.write_text(json.dumps({**found, "act_against_off": table}, indent=2) + "\n")
    print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
