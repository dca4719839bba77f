"""What `heapwatch run` does to a program: nothing that it notices."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.cli.commands.run import BOOTSTRAP

from tests.agent.conftest import with_bootstrap

if TYPE_CHECKING:
    from conftest import Collector

REPORT = "import heapwatch; print('running', heapwatch.status()['running'])"


@pytest.fixture
def python(spawn: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """python(program, *more_path, **environment) -> what a Python that finds the bootstrap folder printed."""

    def start(program: str, *more_path: Path, **environment: str) -> str:
        env = {"PYTHONPATH": with_bootstrap(*more_path), "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")}
        child = spawn(sys.executable, "-c", program, env={**env, **environment})
        assert child.process.wait(240) == 0, child.output
        child._reader.join(60)
        output: str = child.output
        return output

    return start


def test_the_agent_runs_before_the_program(python: Callable[..., str]) -> None:
    assert python(REPORT) == "running True"


def test_a_sitecustomize_further_down_the_path_still_runs(python: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.theirs = __file__\nname = 'theirs'\n")
    program = f"import sys, sitecustomize; print(sys.theirs, sitecustomize.name); {REPORT}"
    assert python(program, tmp_path) == f"{tmp_path}/sitecustomize.py theirs\nrunning True"


def test_a_broken_sitecustomize_is_reported_by_python_as_ever(
    python: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    output = python(REPORT, tmp_path)
    assert "ValueError: theirs" in output
    assert output.endswith("running True")


def test_a_bad_setting_prints_one_line_and_leaves_the_program_alone(python: Callable[..., str]) -> None:
    output = python(REPORT, HEAPWATCH_PUSH_INTERVAL="soon")
    problem, running = output.splitlines()
    assert running == "running False"
    assert problem.startswith("heapwatch: not started: HEAPWATCH_PUSH_INTERVAL='soon': expected a duration")


def test_disabled_is_silent(python: Callable[..., str]) -> None:
    assert python(REPORT, HEAPWATCH_ENABLED="off") == "running False"


def test_a_python_without_heapwatch_runs_the_program(spawn: Callable[..., Any]) -> None:
    child = spawn(
        sys.executable, "-S", "-c", "import sitecustomize; print('on')", env={"PYTHONPATH": str(BOOTSTRAP)}
    )
    assert child.process.wait(240) == 0
    child._reader.join(60)
    assert "heapwatch: not started: No module named" in child.output
    assert child.output.endswith("on")


def test_a_collector_that_is_down_is_one_line_in_the_log(
    python: Callable[..., str], free_port: Callable[[], int]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    output = python("import time; print('work')", HEAPWATCH_COLLECTOR=url)
    lines = output.splitlines()
    assert lines[0] == "work"
    assert len(lines) == 2
    assert lines[1].startswith("heapwatch: delivery failed, the service goes on: Unreachable: " + url)


def test_the_programs_name_is_the_services(python: Callable[..., str], collector: Collector) -> None:
    python("pass", HEAPWATCH_COLLECTOR=collector.url)
    [pushed] = collector.latest_profiles().values()
    assert pushed.labels["service_name"] == "python"
