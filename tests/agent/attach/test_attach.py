"""`heapwatch attach`: processes in every state get an agent, go on, and lose it without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import heapwatch
import heapwatch_wire
import pytest
from heapwatch.attach.attaching import attach
from heapwatch.attach.errors import AttachError
from heapwatch.attach.inject import inject
from heapwatch.attach.process import examine, refusal
from heapwatch.control.client import Client

from tests.safety.extension import find_python

pytestmark = pytest.mark.integration

STATES = {
    "asleep": """
ready()
while True: time.sleep(100)
""",
    "busy": "ready(); busy()",
    "many threads": """
threads = [threading.Thread(target=busy, daemon=True) for _ in range(5)]
for thread in threads: thread.start()
ready()
threads[0].join()
""",
    "waiting for a lock": """
lock = threading.Lock()
lock.acquire()
ready()
lock.acquire()
""",
    "waiting for a socket": """
ends = socket.socketpair()
ready()
ends[0].recv(1)
""",
    "in C code that lets others run": """
ready()
while True:
    keep()
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 300_000)
""",
    "an event loop": """
async def main():
    ready()
    while True:
        keep()
        await asyncio.sleep(0.01)
asyncio.run(main())
""",
}
ALLOCATES = {"busy", "many threads", "an event loop"}


@pytest.mark.parametrize("state", STATES)
def test_a_process_gets_an_agent_and_goes_on(
    state: str,
    target: Callable[..., Any],
    command: Callable[..., str],
    state_of: Callable[..., dict[str, Any]],
    wait_until: Callable[..., Any],
) -> None:
    child = target(STATES[state])
    before = state_of(child)
    said = command("attach", child.pid, "--service", "shop", "--sampling-interval", "4KiB")
    assert f"attached to process {child.pid}: shop, Python" in said
    assert f"heapwatch top {child.pid}" in said

    def sees_the_program() -> bool:
        sites = json.loads(command("top", child.pid, "--once", "--json"))["sites"]
        return any(
            site["function"] == "keep.<locals>.<listcomp>" or site["function"] == "keep" for site in sites
        )

    if state in ALLOCATES:
        wait_until(sees_the_program)
    after = state_of(child)
    for key in ("path", "names", "code pages"):
        assert after[key] == before[key], key
    assert "heapwatch" in after["ours"]
    assert "the agent has stopped" in command("attach", "--stop", child.pid)
    wait_until(lambda: state_of(child)["threads"] == before["threads"])
    assert state_of(child)["files"] == before["files"]
    assert child.process.poll() is None


def test_it_can_be_attached_again_with_other_settings(
    target: Callable[..., Any], command: Callable[..., str]
) -> None:
    child = target(STATES["asleep"])
    command("attach", child.pid, "--service", "first")
    refused = command("attach", child.pid, "--service", "second", code=1)
    assert f"process {child.pid} has an agent already" in refused
    assert f"heapwatch attach --stop {child.pid}" in refused
    command("attach", "--detach", child.pid)
    command("attach", child.pid, "--service", "second")
    (agent,) = json.loads(command("ps", "--json"))
    assert (agent["pid"], agent["service"]) == (child.pid, "second")


def test_a_process_with_heapwatch_uses_its_own(
    target: Callable[..., Any], command: Callable[..., str]
) -> None:
    child = target("import heapwatch" + STATES["asleep"], python=sys.executable)
    assert "attached" in command("attach", child.pid)


def other_python(*versions: str) -> str:
    """An interpreter on this machine of one of these versions, which are not ours; without any, a skip."""
    for version in versions:
        with contextlib.suppress(RuntimeError):
            if version != "{}.{}".format(*sys.version_info):
                return find_python(version)
    pytest.skip(f"no other CPython {' or '.join(versions)} on this machine")


@pytest.mark.parametrize(
    ("version", "state"), [("3.11", "asleep"), ("3.12", "busy"), ("3.13", "asleep"), ("3.13", "busy")]
)
def test_another_version_of_python_gets_the_agent_without_a_sampler(
    version: str, state: str, target: Callable[..., Any], command: Callable[..., str]
) -> None:
    child = target(STATES[state], python=other_python(version))
    said = command("attach", child.pid)
    assert f"Python {version}" in said
    assert "no allocations are sampled" in said
    assert f"install heapwatch for Python {version}" in said
    assert json.loads(command("memory", child.pid, "--json"))
    assert child.process.poll() is None


def test_a_python_that_is_too_old_is_named(target: Callable[..., Any], command: Callable[..., str]) -> None:
    child = target(STATES["asleep"], python=other_python("3.8", "3.9", "3.10"))
    assert "older than 3.11" in command("attach", child.pid, code=1)


STUCK = {
    "asleep with the interpreter in its hands": "ctypes.PyDLL(None).read(gate, bytes(1), 1)",
    "computing with the interpreter in its hands": """
os.set_blocking(gate, False)
1 in map(ctypes.PyDLL(None).read, *map(__import__("itertools").repeat, (gate, bytes(1), 1)))
""",
}


@pytest.mark.parametrize("state", STUCK)
def test_one_that_is_stuck_is_left_as_it_was(
    state: str,
    target: Callable[..., Any],
    command: Callable[..., str],
    state_of: Callable[..., dict[str, Any]],
    wait_until: Callable[..., Any],
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "gate")
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    opened = f"gate = os.open({str(tmp_path / 'gate')!r}, os.O_RDWR)\n"
    stuck = f"tell()\nready()\n{STUCK[state]}\nprint('free', flush=True)\n"
    child = target(opened + stuck + "while True: time.sleep(100)")
    before = json.loads(child.wait_line("state").removeprefix("state "))
    said = command("attach", child.pid, "--timeout", "0.5", code=1)
    assert "ran no Python code of ours within 0.5 s" in said
    assert "no agent runs there, nor will later" in said
    os.write(gate, b"1")
    os.close(gate)
    child.wait_line("free")
    wait_until(lambda: state_of(child)["threads"] == before["threads"])
    after = state_of(child)
    assert after["ours"] == []
    assert after == before
    assert "attached" in command("attach", child.pid), "a later attempt works"


def test_an_agent_that_can_not_start_leaves_nothing(
    target: Callable[..., Any],
    command: Callable[..., str],
    state_of: Callable[..., dict[str, Any]],
    wait_until: Callable[..., Any],
) -> None:
    child = target(STATES["asleep"])
    before = state_of(child)
    said = command("attach", child.pid, "--collector", "nowhere", code=1)
    assert "HEAPWATCH_COLLECTOR='nowhere': expected an address" in said
    wait_until(lambda: state_of(child)["threads"] == before["threads"])
    assert state_of(child) == before


def test_code_that_ends_at_once_takes_nothing_from_under_who_starts_it(target: Callable[..., Any]) -> None:
    child = target(STATES["asleep"])
    functions = examine(child.pid).functions
    for _ in range(50):
        inject(child.pid, functions, "pass")
    assert child.process.poll() is None


@pytest.mark.parametrize("works", [True, False])
def test_cpythons_own_way_needs_a_script_and_leaves_none(
    works: bool,
    target: Callable[..., Any],
    place: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., Any],
) -> None:
    """sys.remote_exec came with 3.14; before that, our own way stands in for it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scripts: list[Path] = []

    def remote_exec(pid: int, name: str) -> None:
        scripts.append(Path(name))
        if not works:
            raise RuntimeError("Remote debugging is not enabled")
        inject(pid, examine(pid).functions, f"exec(open({name!r}).read())")

    child = target(STATES["asleep"])
    folders = {module.__name__: list(module.__path__)[::-1] for module in (heapwatch, heapwatch_wire)}
    if works:
        report = attach(child.pid, {"service": "shop"}, folders, 60, remote_exec).report
        assert report["service"] == "shop"
        wait_until(lambda: Client(place["HEAPWATCH_RUNTIME_DIR"]).has_agent(child.pid))
    else:
        with pytest.raises(AttachError, match="Remote debugging is not enabled"):
            attach(child.pid, {}, folders, 60, remote_exec)
    assert len(scripts) == 1
    assert not scripts[0].exists()


@pytest.mark.parametrize("first", ["import gevent.monkey; gevent.monkey.patch_all()", ""])
@pytest.mark.parametrize("state", ["waits", "is busy"])
def test_a_process_of_greenlets_gets_a_real_thread(
    first: str,
    state: str,
    target: Callable[..., Any],
    command: Callable[..., str],
    wait_until: Callable[..., Any],
) -> None:
    pytest.importorskip("gevent")
    work = "gevent.sleep(0.01)" if state == "waits" else "sum(range(10_000))"
    program = f"{first}\nimport gevent\nready()\nwhile True:\n    keep()\n    {work}"
    child = target(program, python=sys.executable)
    command("attach", child.pid, "--sampling-interval", "4KiB")

    def sees_the_program() -> bool:
        sites = json.loads(command("top", child.pid, "--once", "--json"))["sites"]
        return any(site["function"].partition(".")[0] == "keep" for site in sites)

    wait_until(sees_the_program)
    command("attach", "--stop", child.pid)
    assert child.process.poll() is None


def test_settings_are_checked_before_the_process_is_touched(command: Callable[..., str]) -> None:
    said = command("attach", os.getpid(), "--sampling-interval", "often", code=1)
    assert "--sampling-interval='often': expected a size in bytes" in said


def test_what_can_not_be_attached_to_is_named(
    command: Callable[..., str],
    spawn: Callable[..., Any],
    target: Callable[..., Any],
    wait_until: Callable[..., Any],
) -> None:
    assert "is no Python" in command("attach", spawn("sleep", "100").pid, code=1)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert f"there is no process {ended.pid}" in command("attach", ended.pid, code=1)
    child = target(STATES["asleep"])
    os.kill(child.pid, signal.SIGSTOP)
    wait_until(lambda: ") T " in Path(f"/proc/{child.pid}/stat").read_text())
    said = command("attach", child.pid, code=1)
    assert f"process {child.pid} is stopped" in said
    assert f"kill -CONT {child.pid}" in said
    os.kill(child.pid, signal.SIGCONT)
    assert "attached" in command("attach", child.pid)


@pytest.mark.parametrize(
    ("owner", "user", "scope", "why", "mend"),
    [
        (0, 1000, 0, "belongs to user root", "sudo"),
        (1000, 1000, 1, "kernel.yama.ptrace_scope is 1", "sudo"),
        (1000, 1000, 0, "doesn't let this command", "--cap-add SYS_PTRACE"),
        (1000, 0, 0, "doesn't let this command", "--cap-add SYS_PTRACE"),
        (1000, 0, 3, "until it boots anew", "heapwatch run"),
    ],
)
def test_a_refusal_of_the_kernel_comes_with_its_mend(
    owner: int, user: int, scope: int, why: str, mend: str
) -> None:
    error = refusal(4711, owner, user, scope)
    assert why in str(error)
    assert mend in error.mend
