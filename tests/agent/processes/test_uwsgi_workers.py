"""uWSGI's workers: each has an agent, its master none, however they come by it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from heapwatch.attach.errors import ForksPastPython
from heapwatch.attach.process import examine
from heapwatch.control.client import Client, ControlError, descendants

from tests.agent.conftest import PYUWSGI, http_get, with_bootstrap

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("pyuwsgi") is None, reason="pyuwsgi isn't installed"),
]

APP = """
import os
import uwsgi
def load():
    return [bytes(1000) for _ in range(3000)]
def keep():
    global kept
    kept = [bytes(1000) for _ in range(1000)]
uwsgi.post_fork_hook = keep
loaded = load()
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
OF_LOAD, OF_KEEP = 3000 * 1033, 1000 * 1033
SCRIPT = (str(Path(sys.executable).with_name("uwsgi")),)
OPTIONS = ("--master", "--processes", "2", "--need-app", "--no-orphans", "--die-on-term", "--wsgi", "shop")
RECYCLED = ("--max-requests", "3", "--min-worker-lifetime", "0", "--forkbomb-delay", "0")


class Uwsgi:
    """A master with two workers, and the agents below it."""

    def __init__(self, child: Any, port: int, folder: str) -> None:
        self.child, self.port = child, port
        self.asking = Client(folder, timeout=300)

    def agents(self) -> set[int]:
        """The processes below the master that have an agent."""
        return {pid for pid in descendants(self.child.pid) if self.asking.has_agent(pid)}

    def sites(self, pid: int) -> dict[str, Counter[str]]:
        """Live and inherited bytes by function, as the agent in that process says."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for site in self.asking.call(pid, "top", limit=1000)["sites"]:
            for key in ("live_bytes", "inherited_bytes"):
                # Before 3.12 a comprehension is a function: "keep.<locals>.<listcomp>".
                found[site["function"].partition(".")[0]][key] += site[key]
        return found


@pytest.fixture
def serve(
    spawn: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path, wait_until: Callable[..., Any]
) -> Callable[..., Uwsgi]:
    """serve(program, *options) -> uWSGI under the agent, once both workers have one."""
    (tmp_path / "shop.py").write_text(APP)

    def start(program: Sequence[str], *options: str) -> Uwsgi:
        port = free_port()
        settings = {
            "PYTHONPATH": with_bootstrap(),
            "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
            "HEAPWATCH_SAMPLING_INTERVAL": "1024",
            "HEAPWATCH_SAMPLING_BUDGET": "0",
        }
        command = (sys.executable, *program, *OPTIONS, "--http-socket", f"127.0.0.1:{port}", *options)
        child = spawn(*command, env=settings, cwd=tmp_path)
        uwsgi = Uwsgi(child, port, settings["HEAPWATCH_RUNTIME_DIR"])
        wait_until(lambda: len(uwsgi.agents()) == 2, what="agents in both workers")
        return uwsgi

    return start


@pytest.mark.parametrize(
    ("program", "options"),
    [(SCRIPT, RECYCLED), (PYUWSGI, ("--lazy-apps",))],
    ids=["loaded before the fork", "loaded after it"],
)
def test_each_worker_has_an_agent_and_the_master_none(
    program: Sequence[str],
    options: Sequence[str],
    serve: Callable[..., Uwsgi],
    wait_until: Callable[..., Any],
) -> None:
    uwsgi = serve(program, *options)
    first = uwsgi.agents() if options == RECYCLED else set()
    for _ in range(8 if options == RECYCLED else 0):
        http_get(uwsgi.port)

    # The service's own hook, which keeps, is set in the master: it runs in workers that come after that.
    expected = {"load": OF_LOAD} if "--lazy-apps" in options else {"load": OF_LOAD, "keep": OF_KEEP}

    def both_loaded() -> list[dict[str, Counter[str]]] | None:
        pids = uwsgi.agents()
        try:
            sites = [uwsgi.sites(pid) for pid in pids]
        except ControlError:  # one has just ended
            return None
        loaded = all(
            each[name]["live_bytes"] > 0.7 * size for each in sites for name, size in expected.items()
        )
        return sites if loaded and len(pids) == 2 and pids - first else None

    for sites in wait_until(both_loaded, what="workers that have loaded, at least one a successor"):
        for name, size in expected.items():
            assert sites[name]["live_bytes"] < 1.3 * size
        if "keep" in expected:
            assert sites["load"]["inherited_bytes"] == pytest.approx(sites["load"]["live_bytes"])
    master = uwsgi.child.pid
    assert not uwsgi.asking.has_agent(master)
    assert len(list(Path(f"/proc/{master}/task").iterdir())) == 1
    with pytest.raises(ForksPastPython, match="a worker may hang"):
        examine(master)
    assert uwsgi.child.stop() == 0
    assert not re.search("SIG(SEGV|ABRT|KILL|BUS)|Traceback|heapwatch", uwsgi.child.output), (
        uwsgi.child.output
    )
