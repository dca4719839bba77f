"""Under gunicorn, with one request at a time and with several: collections move out of requests."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from heapwatch.control.client import Client, ControlError
from heapwatch.gctuner.versions import cannot_act

from tests.agent.conftest import http_get

pytest.importorskip("gunicorn")
pytest.importorskip("flask")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(cannot_act()), reason=cannot_act()),
]

APP = """
import gc, heapwatch
from flask import Flask
heapwatch.start(service="shop")
heap = [[number] for number in range(100_000)]
app = Flask(__name__)

@app.get("/")
def litter():
    for _ in range(1000):
        cycle = []
        cycle.append(cycle)
    return str(gc.get_threshold())
"""
PREFORK = """
import heapwatch
preload_app = True

def pre_fork(server, worker):
    heapwatch.freeze()
"""


@contextmanager
def load(port: int, clients: int) -> Iterator[None]:
    halt = threading.Event()

    def ask() -> None:
        while not halt.is_set():
            http_get(port)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        halt.set()
        for thread in threads:
            thread.join()


class Service:
    """gunicorn with one worker, and what the worker's agent says about garbage."""

    def __init__(self, gunicorn: Any, port: int, runtime: Path) -> None:
        self.gunicorn, self.port, self.runtime = gunicorn, port, runtime

    def worker(self) -> int | None:
        try:
            found = Client(str(self.runtime)).family(self.gunicorn.pid)
        except ControlError:
            return None
        return next((pid for pid in found if pid != self.gunicorn.pid), None)

    def ask(self, **params: str) -> dict[str, Any]:
        pid = self.worker()
        assert pid is not None
        answer: dict[str, Any] = Client(str(self.runtime), timeout=300).call(pid, "gc", **params)
        return answer


@pytest.fixture
def serve(
    spawn: Callable[..., Any],
    free_port: Callable[[], int],
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> Callable[..., Service]:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "prefork.py").write_text(PREFORK)

    def start(*options: str) -> Service:
        port = free_port()
        environment = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HEAPWATCH_GC_TUNER": "act",
            "HEAPWATCH_GC_WARMUP": "1",
            "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
        }
        command = [sys.executable, "-m", "gunicorn", "shop:app", "-b", f"127.0.0.1:{port}", "-w", "1"]
        gunicorn = spawn(*command, *options, env=environment, cwd=tmp_path)
        gunicorn.wait_line("Booting worker")
        service = Service(gunicorn, port, tmp_path / "run")
        wait_until(service.worker)
        return service

    return start


@pytest.mark.parametrize(("options", "clients"), [((), 2), (("--threads", "4"), 4)], ids=["sync", "gthread"])
def test_collections_move_out_of_requests(
    serve: Callable[..., Service], wait_until: Callable[..., Any], options: tuple[str, ...], clients: int
) -> None:
    service = serve(*options)
    natural = http_get(service.port)
    with load(service.port, clients):
        wait_until(lambda: service.ask()["tuner"]["acting"] and service.ask()["frozen"] > 100_000)
        moved = service.ask()
        wait_until(
            lambda: count(service.ask(), "young", "full", "idle") > count(moved, "young", "full", "idle")
        )
        assert http_get(service.port) != natural
        service.ask(action="tune", mode="off")
        assert http_get(service.port) == natural
    assert service.ask()["frozen"] == 0
    assert service.gunicorn.stop() == 0
    assert "Traceback" not in service.gunicorn.output


def count(answer: dict[str, Any], *kinds: str) -> int:
    return sum(action["count"] for action in answer["tuner"]["actions"] if action["kind"] in kinds)


def test_workers_share_what_was_frozen_before_the_fork(
    serve: Callable[..., Service], heapwatch: list[str], spawn: Callable[..., Any]
) -> None:
    service = serve("-c", "prefork.py")
    assert service.ask()["frozen"] > 100_000
    service.ask(action="tune", mode="off")
    assert service.ask()["frozen"] > 100_000
    pid = str(service.worker())
    shown = spawn(*heapwatch, "gc", pid, "--json", "--runtime-dir", str(service.runtime))
    shown.process.wait(240)
    shown.stop()
    assert json.loads(shown.output)[pid]["enabled"]
    text = spawn(*heapwatch, "gc", pid, "--tune", "observe", "--runtime-dir", str(service.runtime))
    assert text.wait_line("tuner: observe")
