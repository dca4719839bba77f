"""`heapwatch run --native`: the library is preloaded into the program and its children."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from heapwatch import preload

PROGRAM = """
import os, subprocess, sys
from heapwatch import _sampler
print(os.environ["LD_PRELOAD"], _sampler.stats()["native"])
if len(sys.argv) < 2:
    subprocess.run([sys.executable, sys.argv[0], "child"], check=True)
"""


@pytest.mark.integration
def test_the_program_and_its_children_run_in_native_mode(
    heapwatch: Sequence[str], tmp_path: Path, preloaded: dict[str, str]
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = {**os.environ, "LD_PRELOAD": "", "HEAPWATCH_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [*heapwatch, "run", "--native", "--", heapwatch[0], str(program)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines == [f"{preload.native_library()} 1"] * 2


def test_another_preloaded_library_stays_behind_ours() -> None:
    ours, other = "/env/heapwatch/ours.so", "/usr/lib/libjemalloc.so.2"
    assert preload.preload(ours, present="") == ours
    assert preload.preload(ours, present=f"{other} /usr/lib/more.so") == f"{ours}:{other}:/usr/lib/more.so"
    assert preload.preload(ours, present=f"{other}:{ours}") == f"{ours}:{other}"


def test_a_missing_library_is_said_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "NATIVE", "libheapwatch_nothing.so")
    with pytest.raises(preload.CannotPreload, match=r"libheapwatch_nothing\.so is missing") as failure:
        preload.native_library()
    assert "reinstall heapwatch" in failure.value.mend
