"""`heapwatch doctor` on real processes: with an agent, without one, stopped, gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SERVICE = """
import gc, sys, time
if sys.argv[1:] == ["agent"]:
    import heapwatch
    heapwatch.start(service="shop")
gc.disable()
print("ready", flush=True)
def wait():
    while True:
        time.sleep(0.05)
wait()
"""

Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(heapwatch: list[str], tmp_path: Path) -> Doctor:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*heapwatch, "doctor", "--watch", "0.1", *arguments],
            env={**os.environ, "HEAPWATCH_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture
def service(spawn: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path) -> Callable[..., int]:
    """service("agent") -> the pid of a process with an agent; without the word, of one without."""

    def start(*arguments: str) -> int:
        environment = {"HEAPWATCH_RUNTIME_DIR": str(tmp_path)}
        child = spawn(sys.executable, "-c", SERVICE, *arguments, env=environment)
        child.wait_line("ready")
        pid: int = child.pid
        if arguments:
            wait_until((tmp_path / f"{pid}.sock").exists, what="the agent's socket")
        return pid

    return start


def test_all_processes_with_an_agent_are_looked_at(service: Callable[..., int], doctor: Doctor) -> None:
    pids = {service("agent"), service("agent")}
    done = doctor("--service", "shop")
    assert done.returncode == 0, done.stderr
    assert all(f"process {pid} (shop," in done.stdout for pid in pids)
    assert done.stdout.count("Automatic garbage collection is off") == 2
    assert all(f"heapwatch gc {pid} --collect" in done.stdout for pid in pids)


def test_it_reads_as_json(service: Callable[..., int], doctor: Doctor) -> None:
    pid = service("agent")
    (diagnosis,) = json.loads(doctor(str(pid), "--json").stdout)
    assert diagnosis["facts"]["pid"] == pid
    assert diagnosis["facts"]["status"]["rss"] > 1e6
    assert "note" in {finding["severity"] for finding in diagnosis["findings"]}


def test_a_process_without_an_agent_is_looked_at_from_outside(
    service: Callable[..., int], doctor: Doctor
) -> None:
    pid = service()
    done = doctor(str(pid))
    assert done.returncode == 0, done.stderr
    assert "No agent in this process" in done.stdout
    assert f"heapwatch attach {pid}" in done.stdout


def test_another_program_is_said_to_be_one(doctor: Doctor) -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        done = doctor(str(sleeper.pid))
        sleeper.kill()
    assert "This is no Python program" in done.stdout
    assert "heapwatch attach" not in done.stdout


def test_a_process_that_does_not_answer_is_said_so_in_time(
    service: Callable[..., int], doctor: Doctor, wait_until: Callable[..., Any]
) -> None:
    pid = service("agent")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text())
    done = doctor(str(pid))
    os.kill(pid, signal.SIGCONT)
    assert "1. CRITICAL: The agent in the process doesn't answer" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no process of this user has an agent"),
        (["--service", "nothing"], "no process of service nothing has an agent"),
        (["4194303"], "there is no process 4194303"),
        (["--watch", "-1"], "is no number of seconds"),
    ],
)
def test_what_can_not_be_done_is_said_with_its_mend(doctor: Doctor, arguments: list[str], said: str) -> None:
    done = doctor(*arguments)
    assert done.returncode in (1, 2)
    assert said in done.stderr
