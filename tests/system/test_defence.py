"""A leak under a limit that the kernel enforces: with the defence nobody is killed and no request fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
IMPOSSIBLE = 77


def test_a_leaking_worker_is_replaced_before_the_kernel_kills_it() -> None:
    # Behind HAProxy; a mode ends when a worker was replaced. At most 10 MiB a second
    # leak, so that two seconds are left when the worker is to leave.
    command = [sys.executable, "-m", "benchmarks.defence", "--json", "--once", "--seconds", "150"]
    command += ["--limit", "192", "--leak", "512", "--clients", "2", "--rest", "0.05"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == IMPOSSIBLE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    off, act = json.loads(done.stdout)
    assert off["kills"] >= 1, off
    assert off["failed"] >= 1, off
    assert (act["kills"], act["failed"]) == (0, 0), act
    assert act["left"] == 1, act
    assert act["workers"]["leaking"] == 2, act
