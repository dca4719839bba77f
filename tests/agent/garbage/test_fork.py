"""A forked worker inherits the tuner's mode, and shares its parent's heap for good."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heapwatch.gctuner.versions import cannot_act

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(cannot_act()), reason=cannot_act())]

FORK = """
import gc, os, heapwatch
from heapwatch.door import host
heapwatch.start(service="shop", gc_tuner="{started}")
heap = [[number] for number in range(100_000)]
host.agent.tuner.set_mode("{mode}")
collections = gc.get_stats()[2]["collections"]
child = os.fork()
if not child:
    frozen = gc.get_freeze_count() > len(heap)
    untouched = gc.get_stats()[2]["collections"] == collections
    how = "frozen" if frozen else "not frozen"
    print(f"child: {{host.agent.tuner.mode}} {{how}} {{untouched}}", flush=True)
    os._exit(0)
os.waitpid(child, 0)
how = "frozen" if gc.get_freeze_count() > len(heap) else "not frozen"
print(f"parent: {{how}}", flush=True)
"""


@pytest.mark.parametrize(
    ("started", "mode", "child"),
    [
        ("act", "act", "act frozen True"),
        ("observe", "act", "act frozen True"),
        ("act", "off", "off not frozen True"),
        ("observe", "observe", "observe not frozen True"),
    ],
)
def test_a_child_freezes_what_it_inherits_while_the_tuner_acts(
    spawn: Callable[..., Any], tmp_path: Path, started: str, mode: str, child: str
) -> None:
    environment = {"HEAPWATCH_RUNTIME_DIR": str(tmp_path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    program = FORK.format(started=started, mode=mode)
    # 3.12 and later warn of forks while a thread runs, in the middle of a line.
    process = spawn(sys.executable, "-W", "ignore", "-c", program, env=environment, cwd=tmp_path)
    process.wait_line("parent: not frozen")
    assert f"child: {child}" in process.output
