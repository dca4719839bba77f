"""What --json prints has the shape that helps and documentation show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heapwatch.cli.parser import OWN, main
from heapwatch.cli.shapes import SHAPES
from heapwatch.leaktest.report import LeakSite, Report, to_json
from heapwatch_wire.evidence import Call

Misfits = Callable[..., list[str]]

SERVICE = """
import time
import heapwatch
heapwatch.start(service="shop", sampling_interval="4096")
kept = [str(number) * 50 for number in range(5000)]
with heapwatch.tag("nightly"), heapwatch.phase("load"):
    kept.append(bytearray(100_000))
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def pid(folder: Path) -> Iterator[str]:
    """A process with an agent."""
    environ = {**os.environ, "HEAPWATCH_RUNTIME_DIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], env=environ, stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 120
        while not (folder / f"{service.pid}.sock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield str(service.pid)
        service.kill()


@pytest.fixture
def printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """printed(command, *arguments) -> the JSON that it prints."""
    monkeypatch.setenv("HEAPWATCH_RUNTIME_DIR", str(folder))

    def call(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return call


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        *(["ps"], ["top"], ["leaks", "PID"], ["memory", "PID"], ["requests", "PID"], ["version"]),
        *(["census", "PID"], ["gc", "PID"], ["gc", "PID", "--collect"], ["trim", "PID"]),
        *(["pause", "PID"], ["resume", "PID"], ["doctor", "PID", "--watch", "0"]),
        ["holders", "PID", "--site", "1"],
    ],
    ids=" ".join,
)
def test_of_a_process(arguments: list[str], printed: Callable[..., Any], pid: str, misfits: Misfits) -> None:
    value = printed(*(pid if argument == "PID" else argument for argument in arguments))
    assert value
    assert misfits(SHAPES[arguments[0]], value) == []


@pytest.mark.integration
def test_of_profiles(printed: Callable[..., Any], pid: str, tmp_path: Path, misfits: Misfits) -> None:
    file = str(tmp_path / "heap.pb.gz")
    assert misfits(SHAPES["snapshot"], printed("snapshot", pid, "-o", file)) == []
    report = printed("report", file)
    assert report["sites"]
    assert misfits(SHAPES["report"], report) == []
    difference = printed("diff", file, file)
    assert difference["sites"]
    assert misfits(SHAPES["diff"], difference) == []


@pytest.mark.integration
def test_of_memory_without_an_agent(printed: Callable[..., Any], misfits: Misfits) -> None:
    assert misfits(SHAPES["memory"], printed("memory", str(os.getpid()))) == []


def test_of_a_leak_test(misfits: Misfits) -> None:
    call = Call("step", "a.py", 3)
    site = LeakSite("a.py", "step", 3, "dict", "", 60.0, 1.0, ("a.KEPT[*]",), (call,))
    report = to_json(Report(True, "python", 60.0, (55.0, 65.0), (site,), 2000, 1.5, ("a note",)))
    assert misfits(SHAPES["leaktest"], json.loads(json.dumps(report))) == []


def test_every_command_that_prints_has_a_shape() -> None:
    assert set(SHAPES) == set(OWN) - {"run"}


def test_what_does_not_fit_is_found(misfits: Misfits) -> None:
    shape = {"PID": {"rss": "size", "growth?": "rate?", "calls": [{"line": "number"}]}}
    assert misfits(shape, {"7": {"rss": 1, "growth": None, "calls": [], "new": 3}}) == []
    assert misfits(shape, {"7": {"rss": None, "calls": []}}) == [".7.rss: None is no size"]
    assert misfits(shape, {"7": {"rss": 1, "calls": [{}]}}) == [".7.calls[0].line is missing"]
    assert misfits(shape, {"7": {"rss": 1}}) == [".7.calls is missing"]
