"""Whatever keeps a test from a verdict is said, and exit code 2."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.position import ELSEWHERE, SETUP, Position, shared_file
from heapwatch.leaktest.runner import TimedOut, Watch

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


def test_what_hangs_is_stopped(leaktest: LeakTest) -> None:
    outcome = leaktest("def step(i):\n    while True: pass", "--timeout", "0.3")
    assert outcome.code == 2
    assert "took longer than 0.3 s" in outcome.errors
    assert "--timeout SECONDS" in outcome.errors


def test_the_error_names_the_step_that_hangs() -> None:
    descriptor = shared_file()
    position = Position(descriptor)
    os.close(descriptor)
    watch = Watch(Plan("shop.py", timeout=60.0), position)
    for now, at in (
        (0.0, ELSEWHERE),
        (100.0, ELSEWHERE),
        (200.0, SETUP),
        (250.0, 0),
        (300.0, 70),
        (360.0, 70),
    ):
        position.now = at
        watch.look(now)
    with pytest.raises(TimedOut, match=r"^step\(70\) of shop\.py took longer than 60 s$"):
        watch.look(361.0)
    Watch(Plan("shop.py", timeout=0.0), position).look(1e9)


def test_ctrl_c_ends_it_and_the_child(
    heapwatch: Sequence[str], spawn: Callable[..., Any], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(
        "import os, time\ndef step(i):\n    print('pid', os.getpid(), flush=True)\n    time.sleep(600)"
    )
    test = spawn(*heapwatch, "leaktest", str(file))
    child = int(test.wait_line("pid ").split()[1])
    os.killpg(test.pid, signal.SIGINT)  # as a terminal does
    assert test.process.wait() == 130
    wait_until(lambda: not Path(f"/proc/{child}").exists(), what="the end of the child")
    assert "Traceback" not in test.output


def test_a_missing_file_and_bad_numbers_are_refused(heapwatch: Sequence[str], tmp_path: Path) -> None:
    for arguments, message in (
        ([str(tmp_path / "none.py")], "no such file"),
        ([__file__, "--steps", "0"], "is no number of steps"),
        ([__file__, "--warmup", "x"], "is no number"),
        ([__file__, "--timeout", "-1"], "is no time"),
    ):
        done = subprocess.run(
            [*heapwatch, "leaktest", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert message in done.stderr
