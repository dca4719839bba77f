"""gunicorn's workers: what they inherited and what is their own, and an agent that comes while they serve."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from heapwatch.control.client import Client

from tests.agent.conftest import http_get

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn isn't installed"),
]

APP = """
import os
kept = []
def load():
    return [bytes(1000) for _ in range(3000)]
def keep():
    kept.append([bytes(1000) for _ in range(300)])
loaded = load()
for _ in range(5): keep()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/keep" and len(kept) < 25:
        keep()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
OF_LOAD, OF_KEEP = 3000 * 1033, 300 * 1033
SAMPLED = {"HEAPWATCH_SAMPLING_INTERVAL": "1024", "HEAPWATCH_SAMPLING_BUDGET": "0"}


@pytest.fixture
def serve(
    spawn: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path
) -> Callable[..., tuple[Any, int]]:
    """serve(command before gunicorn, *options) -> (gunicorn with two workers, its port)."""
    (tmp_path / "shop.py").write_text(APP)

    def start(before: Sequence[str], *options: str) -> tuple[Any, int]:
        port = free_port()
        command = [*before, sys.executable, "-m", "gunicorn", "shop:application", "-w", "2"]
        gunicorn = spawn(
            *command,
            *("-b", f"127.0.0.1:{port}", *options),
            env={"HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"), **SAMPLED},
            cwd=tmp_path,
        )
        gunicorn.wait_line("Booting worker")
        return gunicorn, port

    return start


@pytest.fixture
def ask(heapwatch: Sequence[str], tmp_path: Path) -> Callable[..., str]:
    """ask(*arguments) -> what the command printed."""

    def call(*arguments: object) -> str:
        environment = {**os.environ, "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")}
        command = [*heapwatch, *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def serve_both(port: int, wait_until: Callable[..., Any]) -> set[int]:
    """Ask until both workers keep what they are to keep; their pids."""
    served: dict[int, int] = {}

    def enough() -> bool:
        pid = int(http_get(port, "/keep"))
        served[pid] = served.get(pid, 0) + 1
        return len(served) == 2 and min(served.values()) >= 20

    wait_until(enough)
    return set(served)


@pytest.fixture
def sites(tmp_path: Path) -> Callable[[int], dict[str, Counter[str]]]:
    """sites(pid) -> live and inherited bytes by function, as the agent in that process says."""

    def look(pid: int) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for site in Client(str(tmp_path / "run"), timeout=300).call(pid, "top", limit=1000)["sites"]:
            for key in ("live_bytes", "inherited_bytes"):
                # Before 3.12 a comprehension is a function: "keep.<locals>.<listcomp>".
                found[site["function"].partition(".")[0]][key] += site[key]
        return found

    return look


@pytest.mark.parametrize("kind", [(), ("-k", "gthread", "--threads", "4")], ids=["sync", "gthread"])
def test_preloaded_workers_show_what_they_inherited_and_what_is_their_own(
    kind: Sequence[str],
    serve: Callable[..., Any],
    ask: Callable[..., str],
    sites: Callable[[int], dict[str, Counter[str]]],
    heapwatch: Sequence[str],
    wait_until: Callable[..., Any],
) -> None:
    gunicorn, port = serve([*heapwatch, "run", "--"], "--preload", *kind)
    workers = serve_both(port, wait_until)
    wait_until(lambda: len(json.loads(ask("ps", "--json"))) == 3)

    wait_until(lambda: all(sites(pid)["keep"]["live_bytes"] > 20 * OF_KEEP for pid in workers))
    for pid in (gunicorn.pid, *workers):
        load, keep = sites(pid)["load"], sites(pid)["keep"]
        assert load["live_bytes"] == pytest.approx(OF_LOAD, rel=0.2)
        inherited = 0 if pid == gunicorn.pid else 1
        assert load["inherited_bytes"] == pytest.approx(inherited * load["live_bytes"])
        assert keep["live_bytes"] == pytest.approx((5 + 20 * inherited) * OF_KEEP, rel=0.2)
        assert keep["inherited_bytes"] == pytest.approx(5 * inherited * OF_KEEP, rel=0.25)
    assert "inherited" in ask("top", gunicorn.pid, "--once")


@pytest.fixture
def load(serve: Callable[..., Any]) -> Iterator[Callable[[int], list[int]]]:
    """load(port) -> the pids that answer to three clients, until the test ends; each answer must be right."""
    done = threading.Event()
    failures: list[Exception] = []
    threads: list[threading.Thread] = []

    def begin(port: int) -> list[int]:
        answered: list[int] = []

        def client() -> None:
            while not done.is_set() and not failures:
                try:
                    answered.append(int(http_get(port)))
                except Exception as error:
                    failures.append(error)

        threads.extend(threading.Thread(target=client) for _ in range(3))
        for thread in threads:
            thread.start()
        return answered

    yield begin
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_workers_get_an_agent_under_load_and_lose_no_request(
    serve: Callable[..., Any],
    load: Callable[[int], list[int]],
    ask: Callable[..., str],
    sites: Callable[[int], dict[str, Counter[str]]],
    wait_until: Callable[..., Any],
) -> None:
    gunicorn, port = serve([])
    answered = load(port)
    wait_until(lambda: len(set(answered)) == 2)
    said = ask("attach", gunicorn.pid, "--children", "--service", "shop", "--timeout", 240)
    assert said.count("attached to process") == 3
    agents = {agent["pid"] for agent in json.loads(ask("ps", "--json"))}
    assert agents == {gunicorn.pid, *answered}
    serve_both(port, wait_until)

    wait_until(lambda: all("keep" in sites(pid) for pid in set(answered)))
    assert ask("attach", gunicorn.pid, "--children", "--stop").count("the agent has stopped") == 3
    seen = len(answered)
    wait_until(lambda: len(answered) > seen + 20)
    assert gunicorn.process.poll() is None
    assert "WORKER TIMEOUT" not in gunicorn.output
    assert "Traceback" not in gunicorn.output
