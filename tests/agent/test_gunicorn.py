"""Prefork: two gunicorn workers under the agent, recycled while they serve."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.conftest import hang, http_get, with_bootstrap

if TYPE_CHECKING:
    from conftest import Collector

pytest.importorskip("gunicorn")
pytest.importorskip("flask")
pytestmark = pytest.mark.integration

APP = """
import os
from flask import Flask, Response
app = Flask(__name__)
kept = []

@app.get("/keep/<int:count>")
def keep(count):
    kept.append(["x" * 200 + str(number) for number in range(count)])
    return str(os.getpid())

@app.get("/stream")
def stream():
    return Response((str(number) * 100 for number in range(50)), mimetype="text/plain")
"""


@pytest.fixture
def serve(
    spawn: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path
) -> Callable[..., tuple[Any, int]]:
    """serve(collector URL, *gunicorn options, **settings) -> (gunicorn, its port), agents in all workers."""
    (tmp_path / "shop.py").write_text(APP)

    def start(url: str, *options: str, **settings: str) -> tuple[Any, int]:
        port = free_port()
        environment = {
            "PYTHONPATH": with_bootstrap(),
            "HEAPWATCH_SERVICE": "shop",
            "HEAPWATCH_COLLECTOR": url,
            "HEAPWATCH_PUSH_INTERVAL": "0.5",
            "HEAPWATCH_PUSH_TIMEOUT": "30",
            "HEAPWATCH_SAMPLING_INTERVAL": "1024",
            "HEAPWATCH_SAMPLING_BUDGET": "0",
            "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
            **settings,
        }
        command = [sys.executable, "-m", "gunicorn", "shop:app", "-b", f"127.0.0.1:{port}", "-w", "2"]
        gunicorn = spawn(*command, *options, env=environment, cwd=tmp_path)
        gunicorn.wait_line("Booting worker")
        return gunicorn, port

    return start


def kept_by_pid(collector: Collector) -> Counter[str]:
    """Latest live bytes of `keep`, labelled with its endpoint, by pid."""
    found: Counter[str] = Counter()
    for pid, pushed in collector.latest_profiles().items():
        found[pid] = sum(
            sample.values[3]
            for sample in pushed.profile.samples
            if sample.stack[0].function.startswith("keep")
            and ("endpoint", "GET /keep/<int:count>") in sample.labels
        )
    return found


def test_both_workers_show_what_their_endpoint_keeps(
    serve: Callable[..., Any], collector: Collector, wait_until: Callable[..., Any]
) -> None:
    _, port = serve(collector.url)
    served: Counter[str] = Counter()

    def both_served() -> bool:
        with ThreadPoolExecutor(4) as pool:
            served.update(pool.map(http_get, [port] * 8, ["/keep/1000"] * 8))
        return len(served) == 2 and min(served.values()) >= 5

    wait_until(both_served)
    wait_until(lambda: all(kept_by_pid(collector)[pid] > 200_000 * served[pid] for pid in served))
    for pid, live in kept_by_pid(collector).items():
        assert live == pytest.approx(served[pid] * 1000 * 250, rel=0.35), pid
    assert any(b"http.server.request.duration" in pushed.body for pushed in collector.metrics())
    assert any(b"/keep/<int:count>" in pushed.body for pushed in collector.metrics())


def test_recycled_workers_lose_no_request_and_crash_nothing(
    serve: Callable[..., Any], collector: Collector, wait_until: Callable[..., Any]
) -> None:
    gunicorn, port = serve(collector.url, "--max-requests", "20", "--threads", "2")
    pids: list[str] = []

    def load() -> None:
        for _ in range(20):
            pids.append(http_get(port, "/keep/100"))
            http_get(port, "/stream")

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 60
    assert len(set(pids)) >= 4, "workers were not recycled"
    wait_until(lambda: len(set(pids) & {pushed.labels["pid"] for pushed in collector.profiles()}) >= 4)
    assert gunicorn.stop() == 0
    assert not re.search("SIG(SEGV|ABRT|KILL|BUS)|Traceback|heapwatch.*failed", gunicorn.output), (
        gunicorn.output
    )


def test_a_hanging_collector_is_not_felt_and_delivery_resumes(
    serve: Callable[..., Any], collector: Collector, wait_until: Callable[..., Any]
) -> None:
    slowest = 0.0

    def load() -> None:
        nonlocal slowest
        for _ in range(20):
            began = time.monotonic()
            http_get(port, "/keep/10")
            slowest = max(slowest, time.monotonic() - began)

    collector.answer = hang
    _, port = serve(collector.url, HEAPWATCH_QUEUE_SIZE="2", HEAPWATCH_PUSH_TIMEOUT="60")
    wait_until(lambda: len(collector.attempts) >= 2)
    load()
    collector.answer = lambda handler: handler.reply(503)
    collector.released.set()
    wait_until(lambda: len(collector.attempts) >= 6)
    load()
    collector.answer = lambda handler: handler.reply(200)
    wait_until(lambda: len({pushed.labels["pid"] for pushed in collector.profiles()}) >= 2)
    wait_until(lambda: any(b"queue_full" in pushed.body for pushed in collector.metrics()))
    assert slowest < 30, "a request waited for the collector"
