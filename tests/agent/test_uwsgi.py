"""What the agent makes of uWSGI's module, in the order in which uWSGI does things."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from heapwatch import uwsgi
from heapwatch.host import Host

from tests.agent.conftest import ScriptedSampler


def fill(module: Any, worker: int, master: int, threads: int = 1) -> None:
    """As uWSGI does once Python has started, and again by forking."""
    module.worker_id = lambda: worker
    module.masterpid = lambda: master
    module.has_threads = threads


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """uWSGI's module, as Python code that it loads finds it."""
    made = ModuleType("uwsgi")
    monkeypatch.setitem(sys.modules, "uwsgi", made)
    return made


@pytest.fixture
def host(sampler: ScriptedSampler, tmp_path: Path) -> Iterator[Host]:
    host = Host(open_sampler=lambda interval, depth, labels: sampler)
    yield host
    host.stop()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"instrument": False, "runtime_dir": str(tmp_path / "run")}


@pytest.mark.parametrize(
    ("worker", "master", "later"),
    [
        (0, os.getpid(), True),
        (0, 0, True),  # it has no master, and isn't a worker yet
        (1, os.getpid() + 1, False),
        (1, 0, False),
        (0, os.getpid() + 1, False),  # a mule or a spooler
    ],
)
def test_master_and_worker_are_told_apart(module: Any, worker: int, master: int, later: bool) -> None:
    fill(module, worker, master)
    assert uwsgi.forks_later() == later


@pytest.mark.parametrize("started", ["as a script", "as a library"])
def test_it_is_known_before_it_has_a_module(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "uwsgi", raising=False)
    monkeypatch.delitem(sys.modules, "pyuwsgi", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "/app/serve.py", "uwsgi"])
    assert not uwsgi.forks_later()
    if started == "as a script":
        monkeypatch.setattr(sys, "orig_argv", ["python", "/venv/bin/uwsgi", "--master"])
    else:
        monkeypatch.setitem(sys.modules, "pyuwsgi", ModuleType("pyuwsgi"))
    assert uwsgi.forks_later()


def test_the_agent_comes_before_the_services_own_hook_whenever_that_is_set(module: Any) -> None:
    called: list[str] = []
    module.post_fork_hook = lambda: called.append("set before")
    uwsgi.after_fork(lambda: called.append("agent"))
    vars(module)["post_fork_hook"]()
    assert called == ["agent", "set before"]
    called.clear()
    module.post_fork_hook = lambda: called.append("set after")
    vars(module)["post_fork_hook"]()  # as uWSGI finds it
    assert called == ["agent", "set after"]


def test_no_thread_runs_before_the_fork(
    module: Any, host: Host, options: dict[str, Any], sampler: ScriptedSampler
) -> None:
    fill(module, 0, os.getpid())
    host.start(options)
    agent = host.agent
    assert agent is not None
    assert host.waiting
    assert sampler.running
    host._before_fork()
    host._after_fork_in_parent()  # the service forks, or uWSGI with --py-call-uwsgi-fork-hooks
    assert not agent.running

    fill(module, 1, os.getpid())
    module.post_fork_hook()
    assert agent.running
    assert not host.waiting


def test_without_threads_it_says_what_to_do(
    module: Any,
    host: Host,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    sampler: ScriptedSampler,
) -> None:
    fill(module, 0, os.getpid(), threads=0)
    with pytest.raises(RuntimeError, match="start it with --enable-threads"):
        host.start(options)
    fill(module, 0, os.getpid())
    host.start(options)
    module.has_threads = 0  # which was not known yet where Python had just started
    module.post_fork_hook()
    assert "start it with --enable-threads" in caplog.text
    assert host.agent is None
    assert not sampler.running


def test_who_loads_it_as_a_library_has_no_thread_any_more(
    host: Host, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(uwsgi, "TASKS", tmp_path)  # in which there are no other threads
    monkeypatch.delitem(sys.modules, "uwsgi", raising=False)
    host.start(options)
    first = host.agent
    assert first is not None
    assert first.running
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))
    host._wait_for_uwsgi()
    assert not first.running
    assert host.agent is not None
    assert not host.agent.running
