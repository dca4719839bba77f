"""The kernel refuses the sampler memory, at each place where it asks for some: the service goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agent.sampler.conftest import SOURCES, compile_extension

HERE = Path(__file__).parent

PRELUDE = """
import ctypes, gc, importlib.util, json
spec = importlib.util.spec_from_file_location("_sampler", {path!r})
sampler = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sampler)
kernel = ctypes.CDLL({path!r})
EVER = 1 << 40

def use():
    "What the agent does with a sampler; returns how often it was told that there is no memory."
    told = 0
    rows = []
    stacks = lambda: [row[0] for row in rows][:2]
    walk = sampler.Walk()
    steps = [
        lambda: rows.extend(sampler.export()),
        lambda: [sampler.live_samples(stack, 10) for stack in stacks()],
        lambda: walk.referrers([rows], 0.0),
        lambda: walk.census(1, 0.0),
        lambda: sampler.Walk(stacks(), 10).objects(0.01),
        lambda: sampler.lifetimes(),
        lambda: sampler.stats(),
    ]
    for step in steps:
        try:
            step()
        except MemoryError:
            told += 1
    return told
"""

AT_THE_START = """
kernel.refuse_mappings({granted}, EVER)
try:
    sampler.start(64, 64)
    result = "started"
except RuntimeError as error:
    result = str(error)
kept = [str(i) for i in range(20_000)]
told = use()
kernel.refuse_mappings(0, 0)
sampler.start(64, 64)
kept += [str(i) for i in range(20_000)]
assert use() == 0
stats = sampler.stats()
assert stats["enabled"] and stats["hooks_intact"] and stats["samples"] > 1000, stats
"""

AT_WORK = """
sampler.start(64, 64)
kept = [str(i) for i in range(10_000)]
kernel.refuse_mappings(EVER, 0)
assert use() == 0
asked = kernel.mappings_asked()
told = 0
for granted in range(asked):
    kernel.refuse_mappings(granted, 1)
    told += use()
kernel.refuse_mappings(0, EVER)
kept += [[str(i)] for i in range(40_000)]  # the table must do with the heads it has
told += use()
live = sampler.stats()["live_objects"]
kernel.refuse_mappings(0, 0)
assert use() == 0
result = {"asked": asked, "told": told, "live": live}
"""


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sampler, built to ask us where it would ask the kernel."""
    sources = [*sorted(SOURCES.glob("*.c")), HERE / "refusing.c"]
    target = tmp_path_factory.mktemp("refusing") / "_sampler.so"
    return compile_extension(sources, target, ["-Dsyscall=refusing_syscall"])


def run(code: str, path: Path) -> Any:
    program = PRELUDE.format(path=str(path)) + code + "\nprint(json.dumps(result))"
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"the child ended with {done.returncode}:\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.mark.parametrize("granted", range(12))
def test_a_start_without_memory_fails_in_words_and_can_be_repeated(refusing: Path, granted: int) -> None:
    said = run(AT_THE_START.format(granted=granted), refusing)
    assert said == "started" or "no memory" in said


def test_every_refusal_at_work_is_told_and_survived(refusing: Path) -> None:
    result = run(AT_WORK, refusing)
    assert result["asked"] >= 5
    assert result["told"] >= result["asked"] // 2
    assert result["live"] > 40_000
