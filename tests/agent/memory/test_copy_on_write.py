"""What a forked child shares with its parent, seen from outside."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from heapwatch.cli.parser import main
from heapwatch.memory.mappings import HEAP_KINDS, read_mappings

PARENT = """
import gc, os, sys, time
kept = [{"n": n, "tags": [str(n)]} for n in range(100_000)]
gc.collect()
if sys.argv[1] == "frozen":
    gc.freeze()
parent = os.getpid()
if os.fork() == 0:
    gc.collect()
    print("child", os.getpid(), flush=True)
    while os.getppid() == parent:
        time.sleep(0.05)
    sys.exit()
while True:
    time.sleep(1)
"""


def shared(pid: int) -> float:
    """The share of the heap that is shared."""
    heap = [pages for kind, pages in read_mappings(process=str(pid)).items() if kind in HEAP_KINDS]
    return sum(pages.shared for pages in heap) / sum(pages.rss for pages in heap)


@pytest.fixture
def forked(spawn: Any) -> Any:
    """The pids of a parent with some 30 MB of objects and of its child, which has collected garbage."""

    def start(how: str) -> tuple[int, int]:
        parent = spawn(sys.executable, "-c", PARENT, how)
        return parent.pid, int(parent.wait_line("child").split()[1])

    return start


@pytest.mark.integration
def test_a_collection_takes_the_heap_away_from_the_parent_unless_it_is_frozen(forked: Any) -> None:
    plain, frozen = forked("plain"), forked("frozen")
    assert shared(plain[1]) < 0.65
    assert shared(frozen[1]) > 0.85


@pytest.mark.integration
def test_the_command_reads_processes_without_an_agent(
    forked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pid, _ = forked("plain")
    assert main(["memory", str(pid)]) == 0
    text = capsys.readouterr().out
    assert "With an agent in the process they are." in text
    assert "anonymous" in text
    assert main(["memory", "999999999"]) == 1
    assert "there is no process" in capsys.readouterr().err
