"""RSS in parts: the arithmetic, and real processes whose memory is known."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heapwatch.allocators import MallocDetail, Pymalloc, PymallocDetail, find_malloc
from heapwatch.memory.breakdown import PARTS, divide
from heapwatch.memory.mappings import Kind, Pages
from heapwatch.memory.own import OwnMemory
from heapwatch.process import ProcessReader
from heapwatch.sampler import NullSampler
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20


def pages(**kinds: int) -> dict[Kind, Pages]:
    return {name.replace("_", " "): Pages(rss=size) for name, size in kinds.items()}  # type: ignore[misc]


def pymalloc(held: int, used: int, free: int, unused_pools: int) -> PymallocDetail:
    return PymallocDetail(held, used, free, unused_pools, held - used - free - unused_pools, ())


def test_each_part_gets_its_bytes() -> None:
    whole = divide(
        pages(files=20, heap=100, thread_heaps=50, anonymous=400, unreserved=30, stacks=5, other=1),
        pymalloc(held=300, used=200, free=60, unused_pools=30),
        MallocDetail("glibc", arenas=3, held=170, used=120, free=50, mapped=70, releasable=40),
        sampler_bytes=25,
    )
    assert whole.parts == {
        "pymalloc used": 210,
        "pymalloc free": 90,
        "malloc used": 120,
        "malloc free": 30,
        "malloc mapped": 70,
        "files": 20,
        "stacks": 5,
        "sampler": 25,
        "other": 1,
        "unexplained": 35,
    }
    assert whole.rss == 606
    assert whole.explained == pytest.approx(1 - 35 / 606)
    # Of 50 free bytes 20 aren't resident any more, and 10 lie in pages with blocks in use.
    assert whole.trimmable == 20
    assert whole.fragmentation == {"pymalloc": pytest.approx(1 / 3), "malloc": pytest.approx(50 / 240)}


def test_without_allocators_their_memory_is_unexplained() -> None:
    whole = divide(pages(files=20, heap=100, anonymous=400))
    assert whole.parts == {"files": 20, "unexplained": 500}
    assert whole.unknown == ("pymalloc", "malloc")
    assert divide({}).parts == {}
    assert divide({}).explained == 1.0


SIZES = st.integers(0, 1 << 40)


@given(
    sizes=st.lists(SIZES, min_size=8, max_size=8),
    small=st.tuples(SIZES, SIZES, SIZES),
    large=st.tuples(SIZES, SIZES, SIZES),
    own=SIZES,
)
def test_parts_always_sum_to_rss(
    sizes: list[int], small: tuple[int, int, int], large: tuple[int, int, int], own: int
) -> None:
    kinds = ("heap", "thread_heaps", "anonymous", "unreserved", "stacks", "files", "shared_memory", "other")
    used, free, mapped = large
    whole = divide(
        pages(**dict(zip(kinds, sizes, strict=True))),
        pymalloc(sum(small), *small),
        MallocDetail("glibc", 1, used + free, used, free, mapped, free // 2),
        own,
    )
    assert sum(whole.parts.values()) == whole.rss == sum(sizes)
    assert all(size > 0 for size in whole.parts.values())
    assert set(whole.parts) <= set(PARTS)
    assert 0 <= whole.trimmable <= whole.parts.get("malloc free", 0)


PROGRAM = """
import ctypes, json, os, sys, threading
from dataclasses import replace
from heapwatch.allocators import Pymalloc, find_malloc
from heapwatch.memory.own import OwnMemory
from heapwatch.process import ProcessReader
from heapwatch.sampler import NullSampler

def work(kept):
    kept.extend(bytes(1000 + n % 500) for n in range(4000))
    done.wait()

memory = OwnMemory(find_malloc(), Pymalloc(), NullSampler("none"))
before = memory.breakdown()
small = [(n, n) for n in range(200_000)]
large = [b"x" * 1_000_000 for _ in range(30)]
middle = [bytes(600 + n % 7000) for n in range(20_000)]
done, kept = threading.Event(), []
threads = [threading.Thread(target=work, args=(kept,)) for _ in range(3)]
for thread in threads: thread.start()
while len(kept) < 12_000: pass
del middle[::2]
full = memory.breakdown()
rss = ProcessReader().status().rss
ctypes.CDLL(None).malloc_trim(0)
trimmed = memory.breakdown()
done.set()
print(json.dumps([b.to_json() for b in (before, full, trimmed)] + [rss]))
"""


@pytest.mark.skipif(find_malloc().detail() is None or Pymalloc().detail() is None, reason="another C library")
def test_a_process_whose_memory_is_known() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, full, trimmed, rss = json.loads(done.stdout)

    def grown(part: str) -> int:
        return int(full["parts"].get(part, 0)) - int(before["parts"].get(part, 0))

    assert full["explained"] > 0.95
    assert full["rss"] == pytest.approx(rss, rel=0.02)
    assert grown("pymalloc used") == pytest.approx(200_000 * (64 + 32), rel=0.1)
    assert grown("malloc used") + grown("malloc mapped") == pytest.approx(
        30e6 + 10_000 * 4100 + 12_000 * 1280, rel=0.1
    )
    assert grown("malloc free") > 10_000 * 4100 * 0.8
    assert full["malloc"]["arenas"] >= 2
    given_back = full["rss"] - trimmed["rss"]
    assert given_back == pytest.approx(full["trimmable"], rel=0.25)
    assert trimmed["trimmable"] < full["trimmable"] / 4


def test_size_classes_and_pools_are_told(tmp_path: Path) -> None:
    ballast = [b"%090d" % number for number in range(50_000)]  # 33 + 90 bytes
    detail = Pymalloc().detail()
    if detail is None:
        pytest.skip("this Python hides its allocator's statistics")
    assert sum(c.used for c in detail.classes if c.size == 128) >= len(ballast)
    assert sum(c.used * c.size for c in detail.classes) == detail.used
    assert sum(c.free * c.size for c in detail.classes) == detail.free
    assert 0 <= detail.overhead < detail.held / 5
    unread = OwnMemory(find_malloc(), Pymalloc(), NullSampler("none"), tmp_path).breakdown()
    assert (unread.rss, unread.parts, unread.pymalloc is not None) == (0, {}, True)


@pytest.mark.integration
def test_the_command_explains_the_reference_app(
    spawn: Any, heapwatch: list[str], tmp_path: Path, free_port: Callable[[], int], wait_until: Any
) -> None:
    pytest.importorskip("heapwatch_app.command")
    env = {"HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run")}
    script = tmp_path / "app.py"
    script.write_text(
        "import heapwatch, heapwatch_app, sys, threading\n"
        "import flask, sqlalchemy, PIL.Image, jinja2\n"
        "with heapwatch.phase('make apps'):\n"
        "    kept = [flask.Flask(str(n)) for n in range(200)]\n"
        "print('ready', flush=True)\nthreading.Event().wait()\n"
    )
    child = spawn(*heapwatch, "run", "--", sys.executable, str(script), env=env)
    child.wait_line("ready")
    wait_until(lambda: list((tmp_path / "run").glob("*.sock")), what="socket")

    def memory(*options: str) -> str:
        command = [*heapwatch, "memory", str(child.pid), *options]
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True)
        return done.stdout

    answer = json.loads(memory("--json"))[str(child.pid)]
    assert sum(answer["parts"].values()) == answer["rss"]
    assert answer["explained"] > 0.95
    assert answer["parts"]["sampler"] > 0
    assert answer["rss"] == pytest.approx(ProcessReader(process=str(child.pid)).status().rss, rel=0.05)
    text = memory()
    assert "pymalloc used" in text
    assert "private dirty" in text
    assert re.search(r"MiB +1 +.* make apps", text)
    assert f"heapwatch trim {child.pid} would give back" in text
    assert all(len(line) <= 100 for line in text.splitlines())
