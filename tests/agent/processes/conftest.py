"""Programs that run under the agent as `heapwatch run` starts it, and what they push."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def run(
    heapwatch: Sequence[str], spawn: Callable[..., Any], collector: Any, tmp_path: Path
) -> Callable[..., Any]:
    """run(program, *options) -> a Python with the agent in it, which pushes every half second."""

    def start(program: str, *options: str) -> Any:
        script = tmp_path / "program.py"
        script.write_text(program)
        settings = {
            "HEAPWATCH_COLLECTOR": collector.url,
            "HEAPWATCH_PUSH_INTERVAL": "0.5",
            "HEAPWATCH_PUSH_TIMEOUT": "60",
            "HEAPWATCH_SAMPLING_INTERVAL": "4096",
            "HEAPWATCH_SAMPLING_BUDGET": "0",
            "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
            "HEAPWATCH_INSTRUMENT": "off",
        }
        command = [*heapwatch, "run", "--", sys.executable, *options, str(script)]
        return spawn(*command, env={**settings, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}, cwd=tmp_path)

    return start


@pytest.fixture
def live_by_pid(collector: Any) -> Callable[[str], Counter[int]]:
    """live_by_pid(function) -> bytes that live by that function, as each process pushed last."""

    def look(function: str) -> Counter[int]:
        found: Counter[int] = Counter()
        for pid, pushed in collector.latest_profiles().items():
            found[int(pid)] = sum(
                sample.values[3]
                for sample in pushed.profile.samples
                if any(frame.function == function for frame in sample.stack)
            )
        return found

    return look
