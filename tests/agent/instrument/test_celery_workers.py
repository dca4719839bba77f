"""A real Celery worker with Redis as its broker: tasks are measured by name, in forked processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server"),
]

SHOP = """
import os, time
from celery import Celery
from tell import counted
import heapwatch

app = Celery("shop", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
kept = []

@app.task(name="shop.resize", max_retries=1)
def resize(number, again=False):
    kept.append([bytes(1000) for _ in range(1000)])
    with heapwatch.tag("sharpen"):
        kept.append([bytes(1000) for _ in range(500)])
    if again:
        raise resize.retry(countdown=0, kwargs={"number": number})
    return number

@app.task(name="shop.broken")
def broken():
    raise ValueError

@app.task(name="shop.counted")
def tell():
    return counted()
"""


@pytest.fixture
def broker(spawn: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path) -> str:
    port = free_port()
    options = ["--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    spawn("redis-server", *options).wait_line("Ready to accept connections")
    return f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def celery(broker: str, start_python: Callable[..., Any]) -> Iterator[Any]:
    """A client of the application whose worker runs."""
    from celery import Celery

    command = ("celery", "-A", "shop:app", "worker", "-c", "1", "-l", "info", "--without-mingle")
    start_python(SHOP, *command, BROKER=broker).wait_line("ready.")
    with Celery("client", broker=broker, backend=broker) as client:
        yield client


def run(celery: Any, name: str, **arguments: Any) -> Any:
    return celery.send_task(name, kwargs=arguments).get(timeout=300, propagate=False)


def test_tasks_are_measured_by_name_and_outcome(celery: Any) -> None:
    for number in range(3):
        assert run(celery, "shop.resize", number=number) == number
    assert run(celery, "shop.resize", number=7, again=True) == 7
    run(celery, "shop.broken")
    told = json.loads(run(celery, "shop.counted"))
    resize, sharpen = told["endpoints"]["task shop.resize"], told["endpoints"]["sharpen"]
    assert resize["outcomes"] == {"success": 4, "retry": 1}
    assert told["endpoints"]["task shop.broken"]["outcomes"] == {"failure": 1}
    assert sharpen["outcomes"] == {"success": 5}
    assert sharpen["retained"] == pytest.approx(500 * 1033, rel=0.1)
    assert resize["retained"] == pytest.approx(1500 * 1033, rel=0.2), "what is tagged inside counts, too"
    # And what a first task and a first retry import.
    assert 0.85 < told["live"]["task shop.resize"] / (5 * 1000 * 1033) < 1.5
    assert told["running"] == 1  # the one that tells
