"""A leak under a limit that the kernel enforces: with the defence nobody is killed and no request fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
IMPOSSIBLE = 77


def measured(mode: str, leak: int) -> dict[str, Any]:
    """What comes of one mode, behind HAProxy, with so many KiB leaked by a request; it ends when a worker
    was replaced."""
    command = [sys.executable, "-m", "benchmarks.defence", "--json", "--once", "--seconds", "150"]
    command += ["--limit", "192", "--leak", str(leak), "--clients", "2", "--rest", "0.05", "--mode", mode]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == IMPOSSIBLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    [outcome] = json.loads(done.stdout)
    return dict(outcome)


def test_a_leaking_worker_is_replaced_before_the_kernel_kills_it() -> None:
    # At most 10 MiB a second leak where the defence acts, so that two seconds are left when the worker is to
    # leave. Without it nothing is to be waited for.
    off, act = measured("off", leak=4096), measured("act", leak=512)
    assert off["kills"] >= 1, off
    assert off["failed"] >= 1, off
    assert (act["kills"], act["failed"]) == (0, 0), act
    assert act["left"] == 1, act
    assert act["workers"]["leaking"] == 2, act
