"""The marker, and the option that makes it count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

TESTS = """
import pytest

KEPT = []
CALLS = []

@pytest.fixture
def text():
    return "text"

@pytest.mark.heapwatch(max_growth="0", steps=300, warmup=50)
def test_leaks(text):
    KEPT.append((text * 20) + str(len(KEPT)))

@pytest.mark.heapwatch(max_growth="1KiB", steps=300, warmup=50)
def test_may_grow(text):
    KEPT.append((text * 20) + str(len(KEPT)))

@pytest.mark.heapwatch
@pytest.mark.parametrize("n", [3])
def test_keeps_nothing(n):
    assert sum(range(n)) == 3

def test_unmarked():
    CALLS.append(1)
    assert len(CALLS) == 1
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_shop.py").write_text(TESTS)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "heapwatch.pytest_plugin",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
    )


def test_with_the_option_marked_tests_that_leak_fail(tmp_path: Path) -> None:
    done = run(tmp_path, "--heapwatch", "--strict-markers")
    assert "1 failed, 3 passed" in done.stdout
    for part in (
        "memory grows by more than 8 bytes a call",
        "test_leaks",
        "test_shop.KEPT",
        "a step (95% sure",
    ):
        assert part in done.stdout


def test_without_the_option_they_run_once(tmp_path: Path) -> None:
    assert "4 passed" in run(tmp_path, "--strict-markers").stdout


def test_a_wrong_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import pytest\n@pytest.mark.heapwatch(max_growth='many')\ndef test_it():\n    pass\n"
    )
    done = run(tmp_path, "--heapwatch", "test_other.py")
    assert done.returncode != 0
    assert "'many' is no size" in done.stdout + done.stderr


def test_a_run_that_does_not_use_it_loads_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_it():\n    assert not [m for m in sys.modules if 'leaktest' in m]\n"
    )
    assert "1 passed" in run(tmp_path, "test_plain.py").stdout
