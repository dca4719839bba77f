"""What a user of a service feels: latency of Flask requests with the agent and without.

    python -m benchmarks.latency [--blocks 200] [--requests 250]

Three gunicorns run at once: without the agent, without it again (what these two differ by is the noise of the
method), and under `heapwatch run` with all defaults and a collector that takes what it is sent. One client
asks one request after the other, in blocks, in a new random order each time. Intervals come from resampling
blocks.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import flask
import numpy as np
import numpy.typing as npt

from benchmarks.results import Result, Table, record, versions
from benchmarks.servers import Sink, free_port, reachable

FloatArray = npt.NDArray[np.float64]

SIDES = ["without", "without, again", "with the agent"]
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}
START_LIMIT = 60.0
WARMUP = 500
RESAMPLES = 2000
PAGE = (
    "<table>{% for row in rows %}<tr><td>{{ row.id }}</td><td>{{ row.name|upper }}</td>"
    "<td>{{ '%.2f'|format(row.price) }}</td></tr>{% endfor %}</table>"
)


def application() -> flask.Flask:
    """A page of 100 rows."""
    app = flask.Flask("benchmark")

    def index() -> str:
        rows = [{"id": i, "name": f"item {i}", "price": i * 1.25} for i in range(100)]
        return flask.render_template_string(PAGE, rows=rows)

    app.add_url_rule("/", view_func=index)
    return app


@contextmanager
def started(command: Sequence[str], port: int) -> Iterator[int]:
    """A server child; its port, once it can be reached. Stopped by its pid."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + START_LIMIT
        while not reachable(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} did not start; its reason is above")
            time.sleep(0.1)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextmanager
def serving(agent: bool, collector: int) -> Iterator[int]:
    """A gunicorn with one worker of one thread; its port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "benchmarks.latency:application()"]
    command += ["-b", f"127.0.0.1:{port}", "-k", "gthread", "--keep-alive", "3600", "--log-level", "warning"]
    if agent:
        options = ["--service", "benchmark", "--collector", f"http://127.0.0.1:{collector}"]
        command = [sys.executable, "-m", "heapwatch", "run", *options, "--", *command]
    with started(command, port):
        yield port


def ask(connection: http.client.HTTPConnection, requests: int) -> list[float]:
    """Seconds of each of so many requests."""
    found = []
    for _ in range(requests):
        begin = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        found.append(time.perf_counter() - begin)
    return found


def measure(ports: Sequence[int], blocks: int, requests: int) -> FloatArray:
    """Seconds by side, block, request."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for port in ports]
    found = np.zeros((len(ports), blocks, requests))
    for connection in connections:
        ask(connection, WARMUP)
    for block in range(blocks):
        for side in random.sample(range(len(ports)), len(ports)):
            found[side, block] = ask(connections[side], requests)
    return found


def differences(first: FloatArray, second: FloatArray) -> dict[str, tuple[float, float, float]]:
    """Quantile -> (second less first, lowest and highest of 95% by resampling blocks), seconds."""
    generator = np.random.default_rng()
    found = {}
    for name, quantile in QUANTILES.items():
        drawn = []
        for _ in range(RESAMPLES):
            chosen = generator.integers(0, len(first), len(first))
            drawn.append(np.quantile(second[chosen], quantile) - np.quantile(first[chosen], quantile))
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = (
            float(np.quantile(second, quantile) - np.quantile(first, quantile)),
            float(low),
            float(high),
        )
    return found


def tables(seconds: FloatArray) -> list[Table]:
    rows = [
        [side, *(f"{1e3 * np.quantile(times, q):.3f} ms" for q in QUANTILES.values())]
        for side, times in zip(SIDES, seconds, strict=True)
    ]
    compared = []
    for side, times in list(zip(SIDES, seconds, strict=True))[1:]:
        found = differences(seconds[0], times)
        cells = [
            f"{1e3 * d:+.3f} ({1e3 * low:+.3f} to {1e3 * high:+.3f}) ms" for d, low, high in found.values()
        ]
        compared.append([f"{side} − {SIDES[0]}", *cells])
    return [
        Table("Latency of a request", ["server", *QUANTILES], rows),
        Table(
            "Difference (95% interval)",
            ["difference", *QUANTILES],
            compared,
            "An interval that holds 0: none seen.",
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=200, help="blocks of requests for each server")
    parser.add_argument("--requests", type=int, default=250, help="requests in a block")
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sink:
        http.server.ThreadingHTTPServer(("127.0.0.1", args.sink), Sink).serve_forever()
    with ExitStack() as stack:
        sink = free_port()
        stack.enter_context(started([sys.executable, "-m", "benchmarks.latency", "--sink", str(sink)], sink))
        ports = [stack.enter_context(serving(side == SIDES[2], sink)) for side in SIDES]
        seconds = measure(ports, args.blocks, args.requests)
    about = (
        f"{args.blocks * args.requests:,} requests to each of three gunicorns (one worker, one thread): "
        "a Flask page of 100 rows. The agent runs with all defaults and delivers to a collector on the same "
        "machine."
    )
    command = f"python -m benchmarks.latency --blocks {args.blocks} --requests {args.requests}"
    quantiles = {
        side: {name: float(np.quantile(times, q)) for name, q in QUANTILES.items()}
        for side, times in zip(SIDES, seconds, strict=True)
    }
    machine = versions("flask", "gunicorn")
    record(Result("latency", 50, "Latency", about, command, tables(seconds), quantiles, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main())
