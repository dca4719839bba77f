"""A load run: locust as a library, headless, with its figures written as they come.

A process of its own, because locust replaces the standard library's sockets and threads by gevent's.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import IO, Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.log import setup_logging

from heapwatch_app.load.journeys import Visitor
from heapwatch_app.load.options import configure

SPAWN_SECONDS = 5.0
REPORT_SECONDS = 10


def figures(environment: Environment) -> dict[str, Any]:
    """Where the run stands: counts since the start; rates (1/s) and percentiles (ms) of the last seconds."""
    total = environment.stats.total
    worst = sorted(environment.stats.errors.values(), key=lambda e: -e.occurrences)[:3]
    return {
        "time": round(time.time(), 3),
        "users": environment.runner.user_count if environment.runner else 0,
        "requests": total.num_requests,
        "errors": total.num_failures,
        "requests_per_second": round(total.current_rps, 2),
        "errors_per_second": round(total.current_fail_per_sec, 2),
        "p50_ms": total.get_current_response_time_percentile(0.5) or 0,
        "p95_ms": total.get_current_response_time_percentile(0.95) or 0,
        "worst_errors": [f"{e.method} {e.name}: {e.error} ({e.occurrences})" for e in worst],
    }


def sentence(now: dict[str, Any]) -> str:
    """The figures in one line."""
    return (
        f"{now['users']} users, {now['requests_per_second']:.1f} requests/s, "
        f"{now['requests']} requests, {now['errors']} errors, "
        f"p50 {now['p50_ms']:.0f} ms, p95 {now['p95_ms']:.0f} ms"
    )


def report(environment: Environment, out: IO[str] | None) -> None:
    """Write the figures every second to `out`, and a line on the terminal now and then."""
    for second in range(1, 1 << 40):
        gevent.sleep(1)
        now = figures(environment)
        if out is not None:
            out.write(json.dumps(now) + "\n")
            out.flush()
        if second % REPORT_SECONDS == 0:
            print(sentence(now), flush=True)


def run(options: argparse.Namespace) -> int:
    """Make the load; 1 if a request failed, else 0."""
    Visitor.pause = options.users / options.rate
    environment = Environment(user_classes=[Visitor], host=options.host.rstrip("/"))
    environment.stats.total.use_response_times_cache = True
    runner = environment.create_local_runner()
    out = open(options.json_stats, "w", encoding="utf-8") if options.json_stats else None  # noqa: SIM115, PTH123
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, runner.quit)
    if options.minutes:
        gevent.spawn_later(options.minutes * 60, runner.quit)
    gevent.spawn(report, environment, out)
    runner.start(options.users, spawn_rate=max(1.0, options.users / SPAWN_SECONDS))
    runner.greenlet.join()
    last = figures(environment)
    if out is not None:
        out.write(json.dumps(last) + "\n")
        out.close()
    print(sentence(last), *last["worst_errors"], sep="\n")
    return 1 if last["errors"] else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="heapwatch app load", description=__doc__)
    configure(parser)
    setup_logging("WARNING")  # type: ignore[no-untyped-call]
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
