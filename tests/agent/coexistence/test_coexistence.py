"""Beside other tools that look at allocations: whoever comes and goes first, each sees what it should."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.sampler.conftest import compile_extension

TOOLS = {
    "tracemalloc": """
import tracemalloc
def start(): tracemalloc.start(5)
def stop():
    assert tracemalloc.get_traced_memory()[0] > 0
    tracemalloc.stop()
""",
    "memray": """
import memray, pathlib
def start():
    global tracker, trace
    trace = pathlib.Path("trace.bin")
    tracker = memray.Tracker(trace, trace_python_allocators=True)
    tracker.__enter__()
def stop():
    tracker.__exit__(None, None, None)
    assert any(r.size > 0 for r in memray.FileReader(trace).get_allocation_records())
""",
    "ddtrace": """
from ddtrace.profiling.collector import _memalloc
def start(): _memalloc.start(64, 65536, False)
def stop():
    _memalloc.heap()
    _memalloc.stop()
""",
    "above": """
import above
def start(): above.start()
def stop(): assert above.stop() > 1000
""",
}
# W: the sampler starts (watches), Q: it stops (quits); t: the tool starts, q: it stops.
OVERLAPPING = ("WtQq", "WtqQ", "tWQq", "tWqQ")
ORDERS = [(tool, order) for tool in TOOLS for order in OVERLAPPING] + [("above", "WQtq"), ("above", "tqWQ")]

PROGRAM = """
import gc, json, sys
from heapwatch.sampler import open_sampler
{tool}
seen = []
def watch():
    global sampler
    sampler = open_sampler(2048, 32)
    assert sampler.reason == "", sampler.reason
def site():
    return [bytearray(2000) for _ in range(1500)]
def live():
    return sum(row.inuse_bytes for row in sampler.export() if "site" in [f.function for f in row.frames])
def churn():
    grown = []
    for number in range(20_000):
        grown.append(str(number) * 20)
    del grown[::2]
held = []
for step in {order!r}:
    {{"W": watch, "Q": lambda: sampler.stop(), "t": start, "q": stop}}[step]()
    churn()
    if "sampler" in globals():
        stats = sampler.stats()
        before = live()
        held.append(site())
        seen.append([step, stats["enabled"], stats["hooks_intact"], stats["rewraps"], live() - before])
    else:
        held.append(site())
held.clear()
gc.collect()
print(json.dumps([seen, live(), sampler.stats()["hooks_intact"]]))
"""


@pytest.fixture(scope="session")
def above(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a module that puts allocators over those it finds."""
    folder = tmp_path_factory.mktemp("above")
    compile_extension([Path(__file__).with_name("above.c")], folder / "above.so")
    return folder


@pytest.mark.parametrize(("tool", "order"), ORDERS)
def test_tools_come_and_go_in_any_order(tool: str, order: str, above: Path, tmp_path: Path) -> None:
    if tool != "above" and importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} isn't installed in this environment")
    program = f"import sys; sys.path.append({str(above)!r})\n" + PROGRAM.format(tool=TOOLS[tool], order=order)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen, left, intact = json.loads(done.stdout.splitlines()[-1])
    for step, enabled, reached, rewraps, new in seen:
        assert reached == 1, step
        assert new == pytest.approx(1500 * 2057 if enabled else 0, rel=0.2, abs=1), step
        covered = order.index("t") < order.index("W") < order.index("q")
        assert rewraps == (1 if covered and step in order[order.index("q") :] else 0), step
    assert left < 20_000
    assert intact == 1


SERVICE = """
import logging, os, sys, time
logging.basicConfig(format="%(message)s")
import heapwatch
heapwatch.start(sampling_interval=4096, collector=os.environ.get("COLLECTOR") or None, push_interval=0.5)
print("ready", flush=True)
{code}
kept = [[str(number) for number in range(100)] for _ in range(2000)]
print("kept", flush=True)
while not sys.stdin.closed:
    kept.append(str(len(kept)))
    time.sleep(0.01)
"""


@pytest.mark.integration
def test_a_lost_hook_is_said_in_the_log(above: Path, spawn: Callable[..., Any], tmp_path: Path) -> None:
    before = f"import sys; sys.path.append({str(above)!r}); import above; above.start()\n"
    program = before + SERVICE.format(code="above.stop()")
    child = spawn(sys.executable, "-c", program, env={"HEAPWATCH_RUNTIME_DIR": str(tmp_path)})
    said = child.wait_line("another tool put other allocators in the place of the sampler's")
    assert "what was allocated before is no longer known" in said
    assert child.process.poll() is None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["-X", "dev", "-W", "error"], {}),
        (["-X", "tracemalloc=10"], {}),
        ([], {"PYTHONMALLOC": "debug"}),
        ([], {"PYTHONMALLOC": "malloc"}),
    ],
    ids=["development mode", "tracemalloc from the start", "debug allocator", "C allocator"],
)
def test_the_whole_agent_runs_in_pythons_own_modes(
    options: list[str],
    environment: dict[str, str],
    spawn: Callable[..., Any],
    collector: Any,
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    env = {"COLLECTOR": collector.url, "HEAPWATCH_RUNTIME_DIR": str(tmp_path), **environment}
    env["HEAPWATCH_PUSH_TIMEOUT"] = "60"
    child = spawn(sys.executable, *options, "-c", SERVICE.format(code=""), env=env)
    child.wait_line("kept")

    def kept_is_seen() -> bool:
        latest = collector.profiles()[-1:]
        return any(
            sample.stack[0].line == 8 and sample.values[3] > 500_000
            for pushed in latest
            for sample in pushed.profile.samples
        )

    wait_until(kept_is_seen)
    child.process.terminate()
    child.process.wait(240)
    assert child.lines == ["ready", "kept"], child.output
