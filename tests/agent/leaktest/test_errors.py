"""Whatever keeps a test from a verdict is said, and exit code 2."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
LeakTest = Callable[..., Any]

BROKEN = {
    "no step": ("x = 1", "has no step(i)"),
    "not Python": ("def step(i:", "can't be loaded"),
    "setup raises": ("def setup():\n    1 / 0\ndef step(i):\n    pass", "setup() of"),
    "step raises": ("def step(i):\n    if i == 70:\n        raise KeyError('who')", "step(70) of"),
    "killed": (
        "import os\ndef step(i):\n    if i == 90:\n        os.kill(os.getpid(), 9)",
        "signal 9 (SIGKILL)",
    ),
    "exits": ("import os\ndef step(i):\n    os._exit(3)", "exit code 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_error_names_the_cause(leaktest: LeakTest, name: str) -> None:
    code, message = BROKEN[name]
    outcome = leaktest(code)
    assert outcome.code == 2
    assert message in outcome.errors
    assert outcome.text == ""


def test_the_traceback_is_the_users(leaktest: LeakTest) -> None:
    outcome = leaktest("def step(i):\n    price(i)\ndef price(i):\n    raise KeyError('who')")
    assert "KeyError: 'who'" in outcome.errors
    assert "line 4, in price" in outcome.errors
    assert "heapwatch/leaktest" not in outcome.errors


def test_a_missing_file_and_bad_numbers_are_refused(heapwatch: Sequence[str], tmp_path: Path) -> None:
    for arguments, message in (
        ([str(tmp_path / "none.py")], "no such file"),
        ([__file__, "--steps", "0"], "is no number of steps"),
        ([__file__, "--warmup", "x"], "is no number"),
    ):
        done = subprocess.run(
            [*heapwatch, "leaktest", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert message in done.stderr
