"""`heapwatch doctor PID --memray`: what a process without an agent allocates, and why it can't be told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heapwatch.cli.doctor.allocations import read_statistics, watch_allocations
from heapwatch.cli.doctor.facts import Allocated
from heapwatch.cli.options import Failure
from heapwatch.cli.parser import main

GREEDY = """
import time
print("ready", flush=True)
def load():
    return [bytes(1000) for _ in range(1000)]
while True:
    load()
    time.sleep(0.001)
"""


@pytest.mark.integration
@pytest.mark.skipif(
    not (shutil.which("gdb") or shutil.which("lldb")),
    reason="memray needs gdb or lldb, and neither is installed",
)
def test_the_line_that_allocates_most_is_named_and_the_process_goes_on(
    spawn: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("memray")
    monkeypatch.setenv("HEAPWATCH_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "greedy.py").write_text(GREEDY)
    child = spawn(sys.executable, str(tmp_path / "greedy.py"))
    child.wait_line("ready")
    assert main(["doctor", str(child.pid), "--watch", "0", "--memray", "2", "--json"]) == 0
    (diagnosis,) = json.loads(capsys.readouterr().out)
    most = diagnosis["facts"]["allocated"][0]
    assert (Path(most["file"]).name, most["line"]) == ("greedy.py", 5)
    assert most["bytes"] >= 1000
    titles = [finding["title"] for finding in diagnosis["findings"]]
    assert any("greedy.py:5) allocates most" in title for title in titles), titles
    assert child.process.poll() is None


def words_of(**installed: str) -> tuple[str, str]:
    """What is said, and the mend, where only so much is installed."""
    with pytest.raises(Failure) as failed:
        watch_allocations(os.getpid(), 1, installed.get)
    return str(failed.value), failed.value.mend


def test_what_is_missing_is_said_with_its_mend() -> None:
    assert words_of(gdb="/gdb") == ("memray is not installed here", "pip install 'heapwatch[profilers]'")
    said, mend = words_of(memray="/memray")
    assert "neither gdb nor lldb is installed" in said
    assert f"heapwatch attach {os.getpid()}" in mend


@pytest.mark.parametrize(
    ("says", "said", "mend"),
    [
        ("Failed to start: No module named 'memray'", "memray: Failed to start", "in the process's own"),
        ("Failed to attach a debugger to the process.", "Failed to attach", "as root"),
        ("", "no reason given", ""),
    ],
)
def test_a_failure_of_memray_is_passed_on(says: str, said: str, mend: str, tmp_path: Path) -> None:
    memray = tmp_path / "memray"
    memray.write_text(f'#!/bin/sh\necho "{says}"\nexit 1\n')
    memray.chmod(0o700)
    told = words_of(memray=str(memray), gdb="/gdb")
    assert said in told[0]
    assert mend in told[1]


def test_a_debugger_that_does_not_let_go_is_not_waited_for_without_end(tmp_path: Path) -> None:
    memray = tmp_path / "memray"
    memray.write_text("#!/bin/sh\nexec sleep 600\n")
    memray.chmod(0o700)
    tools = {"memray": str(memray), "gdb": "/gdb"}
    with pytest.raises(Failure, match=r"did not get into the process within 0\.1 seconds"):
        watch_allocations(os.getpid(), 1, tools.get, attaching=0.1)
    usual = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which what is started inherits
    try:
        with pytest.raises(Failure, match="runs on") as failed:
            watch_allocations(os.getpid(), 1, tools.get, attaching=0.1, ending=0.1)
    finally:
        signal.signal(signal.SIGTERM, usual)
    group = int(str(failed.value).split()[-3])
    assert f"kill -9 -{group}" in failed.value.mend
    os.killpg(group, signal.SIGKILL)


def test_only_a_process_that_is_named_and_has_no_agent_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEAPWATCH_RUNTIME_DIR", str(tmp_path))
    assert main(["doctor", "--memray", "1"]) == 1
    assert "say which" in capsys.readouterr().err
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / f"{os.getpid()}.sock"))
        agent.listen()
        assert main(["doctor", str(os.getpid()), "--memray", "1"]) == 1
    assert "has an agent" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["doctor", "1", "--memray", "3600"])
    assert "from 1 to 30" in capsys.readouterr().err


def test_places_without_a_line_are_left_out() -> None:
    rows = [("<stack trace unavailable>", 9), ("load:/srv/a:b.py:7", 5), ("read:<frozen io>:3", 1)]
    told = json.dumps(
        {"top_allocations_by_size": [{"location": place, "size": size} for place, size in rows]}
    )
    assert read_statistics(told) == (
        Allocated("load", "/srv/a:b.py", 7, 5),
        Allocated("read", "<frozen io>", 3, 1),
    )
