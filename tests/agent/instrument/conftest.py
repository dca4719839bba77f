"""Real servers whose applications know nothing of the agent, but for a path that tells its counts."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.agent.conftest import with_bootstrap

COUNTED = """
import json
from heapwatch.door import host

def counted():
    kept = host.resident
    live = {}
    for row in host.agent.sampler.export(live=True):
        name = kept.labels.name(row.label)
        live[name] = live.get(name, 0) + row.inuse_bytes
    return json.dumps({"live": live, "running": len(kept.requests.in_flight.running), "endpoints": {
        totals.endpoint.name: {
            "outcomes": {outcome.status: sum(d.counts) for outcome, d in totals.outcomes.items()},
            "seconds": sum(d.sum for d in totals.outcomes.values()) / totals.requests,
            "allocated": totals.allocated.sum / totals.requests,
            "retained": totals.retained / totals.requests,
            "cpu": totals.cpu.sum / max(1, sum(totals.cpu.counts)),
            "cpu_known": sum(totals.cpu.counts),
            "queries": totals.queries.sum / totals.requests,
            "query_seconds": totals.query_seconds,
            "repeated": totals.repeated_queries,
            "repeats": {statement: list(repeat) for statement, repeat in totals.repeats.items()},
            "template_seconds": totals.template_seconds,
            "traces": sorted({e.trace_id for d in totals.outcomes.values() for e in d.exemplars.values()}),
        } for totals in kept.requests.totals()}})
"""


@dataclass
class Served:
    """A server that listens on `port`."""

    child: Any
    port: int

    def get(self, path: str, status: int = 200, **headers: str) -> bytes:
        """The body of the answer, which must have this status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == status, (path, answer.status, body, self.child.output)
            return body
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether the application is loaded."""
        try:
            self.counted()
        except OSError:
            return False
        return True

    def counted(self) -> dict[str, Any]:
        """Totals by endpoint; one that was not asked for is all zeros."""
        return dict(json.loads(self.get("/counted")))

    def endpoints(self) -> dict[str, Any]:
        """The same without the path that tells it."""
        return {name: t for name, t in self.counted()["endpoints"].items() if "counted" not in name}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Of a Python that has an agent from its start, as `heapwatch run` makes it."""
    return {
        "PYTHONPATH": with_bootstrap(folder),
        "HEAPWATCH_SERVICE": "shop",
        "HEAPWATCH_SAMPLING_INTERVAL": "256",
        "HEAPWATCH_SAMPLING_BUDGET": "0",
        "HEAPWATCH_REQUEST_CPU": "1",
        "HEAPWATCH_RUNTIME_DIR": str(folder / "run"),
        **more,
    }


@pytest.fixture
def start_python(spawn: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """start_python(code of the module "shop", *command, **environment) -> its Child, with an agent"""

    def start(code: str, *command: str, **more: str) -> Any:
        (tmp_path / "shop.py").write_text(code)
        (tmp_path / "tell.py").write_text(COUNTED)
        return spawn(sys.executable, "-m", *command, env=environment(tmp_path, **more), cwd=tmp_path)

    return start


@pytest.fixture
def serve(
    start_python: Callable[..., Any], free_port: Callable[[], int], wait_until: Callable[..., Any]
) -> Callable[..., Served]:
    """serve(code of the module "shop", *command, **environment) -> Served; {port} in the command."""

    def start(code: str, *command: str, **more: str) -> Served:
        port = free_port()
        served = Served(start_python(code, *(word.format(port=port) for word in command), **more), port)
        wait_until(served.answers, timeout=300, what="the application to answer")
        return served

    return start


@pytest.fixture
def uvicorn(serve: Callable[..., Served]) -> Callable[..., Served]:
    """uvicorn(code, *options) -> Served"""
    pytest.importorskip("uvicorn")

    def start(code: str, *options: str, **more: str) -> Served:
        command: Sequence[str] = ("uvicorn", "shop:app", "--port", "{port}", "--no-access-log", *options)
        return serve(code, *command, **more)

    return start


@pytest.fixture
def gunicorn(serve: Callable[..., Served]) -> Callable[..., Served]:
    """gunicorn(code, *options) -> Served"""
    pytest.importorskip("gunicorn")

    def start(code: str, *options: str, **more: str) -> Served:
        command = ("gunicorn", "shop:app", "-b", "127.0.0.1:{port}", *options)
        return serve(code, *command, **more)

    return start
