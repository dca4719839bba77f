"""The ways in which Python programs make processes and threads: each is seen, and ends as without us."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration

LiveByPid = Callable[[str], Counter[int]]

MULTIPROCESSING = """
import multiprocessing, os, signal
def keep():
    return [bytes(1000) for _ in range(3000)]
def work(queue, done):
    kept = keep()
    queue.put(os.getpid())
    done.wait()
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    queue, done = context.Queue(), context.Event()
    workers = [context.Process(target=work, args=(queue, done)) for _ in range(2)]
    for worker in workers: worker.start()
    for _ in workers: print("worker", queue.get(), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    print("waiting", flush=True)
    for worker in workers: worker.join()
    print("exit codes", [worker.exitcode for worker in workers], flush=True)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_are_seen_each_for_itself(
    method: str, run: Callable[..., Any], live_by_pid: LiveByPid, wait_until: Callable[..., Any]
) -> None:
    child = run(MULTIPROCESSING.format(method=method), "-W", "ignore::DeprecationWarning")
    child.wait_line("waiting")
    workers = [int(line.split()[1]) for line in child.lines if line.startswith("worker")]
    wait_until(lambda: all(live_by_pid("keep")[pid] > 2_000_000 for pid in workers))
    child.process.terminate()
    child.wait_line("exit codes [0, 0]")
    assert child.process.wait(240) == 0
    assert not re.search("Traceback|heapwatch:", child.output), child.output


SUBPROCESSES = """
import os, subprocess, sys
if len(sys.argv) > 1:
    kept = [bytes(1000) for _ in range(3000)]
    print("inner", os.getpid(), flush=True)
    sys.stdin.read()
    sys.exit(7)
inner = subprocess.Popen([sys.executable, __file__, "inner"], stdin=subprocess.PIPE)
sh = subprocess.run(["sh", "-c", "echo shell $((40 + 2))"], capture_output=True, text=True)
print(sh.stdout.strip(), sh.returncode, flush=True)
import signal
signal.signal(signal.SIGTERM, lambda *_: inner.stdin.close())
print("exit code", inner.wait(), flush=True)
"""


def test_programs_that_a_program_starts_are_seen_if_they_are_python(
    run: Callable[..., Any], live_by_pid: LiveByPid, wait_until: Callable[..., Any]
) -> None:
    child = run(SUBPROCESSES)
    assert child.wait_line("shell") == "shell 42 0"
    inner = int(child.wait_line("inner").split()[1])
    wait_until(lambda: live_by_pid("<module>")[inner] > 2_000_000)
    child.process.terminate()
    child.wait_line("exit code 7")
    assert child.process.wait(240) == 0


ENDINGS = """
import os, sys, threading, time
def churn():
    kept = []
    while True:
        kept.append([str(number) for number in range(100)])
        del kept[:-100]
for _ in range(3):
    threading.Thread(target=churn, daemon=True).start()
pid = os.fork()
if pid == 0:
    churn_for = time.monotonic() + 0.5
    while time.monotonic() < churn_for: str(churn_for)
    {ending}
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
{ending}
"""


@pytest.mark.parametrize(("ending", "code"), [("os._exit(3)", 3), ("sys.exit(4)", 4), ("sys.exit()", 0)])
def test_every_ending_is_quick_and_quiet_while_daemon_threads_allocate(
    ending: str, code: int, run: Callable[..., Any]
) -> None:
    child = run(ENDINGS.format(ending=ending), "-W", "ignore::DeprecationWarning")
    assert child.process.wait(240) == code
    child._reader.join(60)
    assert child.lines == [f"child {code}"], child.output


SIGNALS = """
import signal, time
caught = []
def handle(number, frame):
    caught.append([str(item) for item in range(50)])
    del caught[:-50]
    global count
    count += 1
count = 0
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
until = time.monotonic() + 1
while time.monotonic() < until or count <= 100:
    grown = []
    for number in range(1000):
        grown.append(str(number) * 100)
    buffer = bytearray()
    for _ in range(100): buffer += b"x" * 5000
signal.setitimer(signal.ITIMER_REAL, 0)
import heapwatch
status = heapwatch.status()
print("caught", count, status["sampler"]["hooks_intact"], status["errors"], flush=True)
"""


def test_signals_in_the_middle_of_allocations_are_handled(run: Callable[..., Any]) -> None:
    child = run(SIGNALS)
    said = re.fullmatch(r"caught (\d+) 1 {}", child.wait_line("caught"))
    assert said, child.output
    assert int(said[1]) > 100
    assert child.process.wait(240) == 0


GREENLETS = """
import os, sys, time
{first}
{second}
import gevent
kept = []
def keep():
    kept.append([bytes(1000) for _ in range(100)])
def work():
    for _ in range(40):
        keep()
        gevent.sleep(0.01)
gevent.joinall([gevent.spawn(work) for _ in range(3)])
give_up = time.monotonic() + 110
while True:  # No greenlet gets a turn; the agent does.
    sum(range(1_000_000))
    status = heapwatch.status()
    if status["collector"]["delivered"] >= 6 or time.monotonic() > give_up:
        break
assert status["collector"]["delivered"] >= 6, status
if os.fork() == 0:
    keep()
    print("child", os.getpid(), flush=True)
    give_up = time.monotonic() + 110
    while time.monotonic() < give_up:
        gevent.sleep(0.1)
        own = heapwatch.status()
        if own["pid"] == os.getpid() and own["collector"]["delivered"] >= 6:
            break
    print("errors", heapwatch.status()["errors"], flush=True)
    sys.exit(0)
print("exit code", os.wait()[1], status["errors"], flush=True)
"""
PATCH = "from gevent import monkey; monkey.patch_all()"
START = "import heapwatch; heapwatch.start()"


@pytest.mark.parametrize("order", [(PATCH, START), (START, PATCH)], ids=["patched before", "patched after"])
def test_greenlets_and_the_agent_leave_each_other_alone(
    order: tuple[str, str],
    spawn: Callable[..., Any],
    collector: Any,
    live_by_pid: LiveByPid,
    wait_until: Callable[..., Any],
    tmp_path: Any,
) -> None:
    if importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent isn't installed in this environment")
    settings = {
        "HEAPWATCH_COLLECTOR": collector.url,
        "HEAPWATCH_PUSH_INTERVAL": "0.5",
        "HEAPWATCH_PUSH_TIMEOUT": "60",
        "HEAPWATCH_SAMPLING_INTERVAL": "4096",
        "HEAPWATCH_SAMPLING_BUDGET": "0",  # The busy loop would have the interval widened.
        "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
    }
    program = GREENLETS.format(first=order[0], second=order[1])
    child = spawn(sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, env=settings)
    assert child.wait_line("exit code") == "exit code 0 {}"
    assert child.process.wait(240) == 0
    child._reader.join(60)
    forked = int(child.wait_line("child").split()[1])
    live = live_by_pid("keep")
    assert live[child.pid] > 9_000_000
    assert live[forked] > live[child.pid]
    assert len(child.lines) == 3, child.output


ASYNCIO = """
import asyncio, signal
import heapwatch
kept = []
async def keep():
    kept.append([bytes(1000) for _ in range(100)])
    await asyncio.sleep(0)
async def main():
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, done.set)
    await asyncio.gather(*(keep() for _ in range(30)), loop.run_in_executor(None, sum, range(1000)))
    print("kept", flush=True)
    await done.wait()
    assert heapwatch.status()["errors"] == {}
asyncio.run(main(), debug=True)
"""


def test_coroutines_are_seen_and_the_loop_ends_well(
    run: Callable[..., Any], live_by_pid: LiveByPid, wait_until: Callable[..., Any]
) -> None:
    child = run(ASYNCIO)
    child.wait_line("kept")
    wait_until(lambda: live_by_pid("keep")[child.pid] > 2_500_000)
    child.process.terminate()
    assert child.process.wait(240) == 0
    child._reader.join(60)
    assert child.lines == ["kept"], child.output
