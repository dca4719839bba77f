"""The demo as a user runs it: a leak is found and explained, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def processes_mentioning(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(int(entry.name))
    return found


def test_a_leak_is_found_and_explained(
    spawn: Callable[..., Any], heapwatch: list[str], tmp_path: Path
) -> None:
    keep = tmp_path / "demo"
    # It takes a minute and a half; the limit is for a machine that is busy.
    options = ["--fault", "listeners", "--once", "--keep", str(keep)]
    options += ["--warmup", "30", "--minutes", "9"]
    child = spawn(*heapwatch, "demo", *options)
    code = child.process.wait(800)
    child.wait_line("verdict after")
    assert code == 0, child.output
    assert "right (fault 'listeners')" in child.output
    assert processes_mentioning(str(keep)) == []


@pytest.mark.parametrize(
    ("stop", "after"),
    [(signal.SIGINT, "page: http://"), (signal.SIGHUP, "filling the app")],
    ids=["Ctrl-C", "a closed terminal while it starts"],
)
def test_ctrl_c_or_a_closed_terminal_stops_every_part(
    spawn: Callable[..., Any],
    heapwatch: list[str],
    tmp_path: Path,
    wait_until: Callable[..., Any],
    stop: signal.Signals,
    after: str,
) -> None:
    child = spawn(*heapwatch, "demo", "--no-fault", env={"TMPDIR": str(tmp_path)})
    child.wait_line(after)
    assert processes_mentioning(str(tmp_path))
    child.process.send_signal(stop)
    child.wait_line("interrupted")
    child.process.send_signal(stop)  # an impatient user
    assert child.process.wait(240) == 130, child.output
    assert processes_mentioning(str(tmp_path)) == []
    wait_until(lambda: list(tmp_path.iterdir()) == [], what="the demo's folder is gone")
