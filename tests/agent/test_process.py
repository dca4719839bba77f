"""The process reader against a recorded /proc, and against this process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from heapwatch.process import ProcessReader, ProcessStatus

STATUS = """Name:\tpython (a) b
VmSize:\t  512000 kB
VmHWM:\t  204800 kB
VmRSS:\t  102400 kB
VmSwap:\t      64 kB
Threads:\t7
"""
STAT = "42 (python (a) b) S " + " ".join(str(field) for field in range(4, 53))


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "self"
    (folder / "fd").mkdir(parents=True)
    for number in range(5):
        (folder / "fd" / str(number)).touch()
    (folder / "status").write_text(STATUS)
    (folder / "stat").write_text(STAT)
    (tmp_path / "stat").write_text("cpu  1 2 3\nbtime 1700000000\nprocesses 9\n")
    return tmp_path


def test_recorded_figures_come_out_in_bytes_and_seconds(proc: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    assert ProcessReader(proc).status() == ProcessStatus(
        rss=102400 * 1024,
        peak=204800 * 1024,
        virtual=512000 * 1024,
        swap=64 * 1024,
        threads=20,
        cpu_user=14 / ticks,
        cpu_system=15 / ticks,
        descriptors=5,
    )
    assert ProcessReader(proc).start_time() == 1700000000 + 22 / ticks


def test_this_process_agrees_with_the_kernel(wait_until: Callable[..., Any]) -> None:
    reader = ProcessReader()
    before = reader.status()
    ballast = bytearray(os.urandom(1 << 20) * 64)
    after = reader.status()
    assert 48 << 20 < after.rss - before.rss < 96 << 20
    assert after.peak >= after.rss - (1 << 20)
    tasks = Path("/proc/self/task")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(threading.Barrier(3).wait, [None] * 3))
        # Not threading.active_count(): what other tests left ended meanwhile, or ended without its knowledge.
        wait_until(lambda: reader.status().threads == len(list(tasks.iterdir())) >= 4)
    assert 0 < time.time() - reader.start_time() < 24 * 3600
    del ballast


def test_children_that_were_forked_and_run_nothing_else(proc: Path) -> None:
    children = {"50": ("S", 0x400040), "51": ("S", 0x400000), "52": ("Z", 0x400044), "53": ("R", 0x40)}
    for thread, text in (("42", "50 51 52 "), ("43", "53 99 ")):
        (proc / "self/task" / thread).mkdir(parents=True)
        (proc / "self/task" / thread / "children").write_text(text)
    for pid, (state, flags) in children.items():
        (proc / pid).mkdir()
        (proc / pid / "stat").write_text(f"{pid} (a) b) {state} 42 42 42 0 -1 {flags} 7 8")
    assert ProcessReader(proc).forked_children() == 2


FORK_AND_COUNT = """
import os, subprocess, sys
from heapwatch.process import ProcessReader
sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
before = ProcessReader().forked_children()
ready, told = os.pipe()
child = os.fork()
if not child:
    os.read(ready, 1)
    os._exit(0)
now = ProcessReader().forked_children()
os.write(told, b"x")
os.waitpid(child, 0)
sleeper.communicate()
print(before, now, ProcessReader().forked_children())
"""


@pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="this kernel doesn't list children"
)
def test_a_fork_is_counted_and_a_program_is_not() -> None:
    told = subprocess.run([sys.executable, "-c", FORK_AND_COUNT], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "1", "0"]
