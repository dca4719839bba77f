"""The agent in a process: starting, stopping, forking, exiting, with a collector that records."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.host import Host
from heapwatch.sampler import NullSampler
from heapwatch_wire.config import ConfigError

from tests.agent.conftest import hang

if TYPE_CHECKING:
    from conftest import Collector, ScriptedSampler

FILL = "keep = [bytearray(300) for _ in range(20_000)]"
TAKEN = 8 * 20_000
"""Bytes of a list of 20,000 references, beside what is in it: a bytearray takes 56 and one for the end."""


@pytest.fixture
def host(sampler: ScriptedSampler) -> Iterator[Host]:
    host = Host(open_sampler=lambda interval, depth, labels: sampler)
    yield host
    host.stop()


@pytest.fixture
def options(collector: Collector, tmp_path: Path) -> dict[str, Any]:
    return {
        "service": "shop",
        "collector": collector.url,
        "push_interval": 0.5,
        "push_timeout": 30.0,
        "instrument": False,  # which would stay, and measure the requests of tests that come later
        "runtime_dir": str(tmp_path / "run"),
    }


@pytest.fixture
def run(spawn: Callable[..., Any], collector: Collector, tmp_path: Path) -> Callable[[str], Any]:
    """run(program) -> the exited child, its program under an agent that pushes to `collector`."""

    def start(program: str) -> Any:
        script = tmp_path / "program.py"
        script.write_text(program)
        environment = {
            "HEAPWATCH_SERVICE": "shop",
            "HEAPWATCH_COLLECTOR": collector.url,
            "HEAPWATCH_PUSH_INTERVAL": "0.5",
            "HEAPWATCH_PUSH_TIMEOUT": "30",
            "HEAPWATCH_SAMPLING_INTERVAL": "512",
            "HEAPWATCH_SAMPLING_BUDGET": "0",
            "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
        }
        child = spawn(sys.executable, "-W", "error", str(script), env=environment)
        assert child.process.wait(240) == 0, child.output
        return child

    return start


def test_profiles_and_metrics_arrive_within_seconds(
    host: Host, options: dict[str, Any], collector: Collector, wait_until: Callable[..., Any]
) -> None:
    host.start(options)
    wait_until(lambda: collector.profiles() and collector.metrics())
    labels = collector.profiles()[0].labels
    assert host.agent is not None
    assert labels == host.agent.identity.profile_labels()
    assert collector.profiles()[0].profile.period == 65536


def test_without_a_sampler_it_says_so_and_still_sends_metrics(
    options: dict[str, Any],
    collector: Collector,
    wait_until: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(open_sampler=lambda interval, depth, labels: NullSampler("no C compiler", labels))
    host.start(options)
    wait_until(collector.metrics)
    host.stop()
    assert "no allocations are sampled: no C compiler" in caplog.text


def test_starting_twice_keeps_the_first(host: Host, options: dict[str, Any]) -> None:
    host.start(options)
    first = host.agent
    host.start({**options, "service": "other"})
    assert host.agent is first


def test_the_last_allocations_arrive_at_the_stop(
    host: Host, options: dict[str, Any], collector: Collector, sampler: ScriptedSampler
) -> None:
    host.start({**options, "push_interval": 600})
    host.stop()
    assert len(collector.profiles()) == len(collector.metrics()) == 1
    assert not sampler.running
    host.stop()


def test_it_starts_again_after_a_stop(
    host: Host, options: dict[str, Any], collector: Collector, wait_until: Callable[..., Any]
) -> None:
    host.start(options)
    host.stop()
    before = len(collector.profiles())
    host.start(options)
    wait_until(lambda: len(collector.profiles()) > before)


def test_a_hanging_collector_holds_up_the_stop_for_seconds_at_most(
    host: Host, options: dict[str, Any], collector: Collector
) -> None:
    collector.answer = hang
    host.start({**options, "push_timeout": 1.0})
    began = time.monotonic()
    host.stop()
    assert time.monotonic() - began < 40


def test_disabled_means_nothing_starts(host: Host, options: dict[str, Any]) -> None:
    host.start({**options, "enabled": False})
    assert host.agent is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"push_interval": "soon"}, "push_interval='soon'"),
        ({"collector": "localhost"}, "HEAPWATCH_COLLECTOR='localhost'"),
        ({"sampling": 1}, "unknown setting 'sampling'"),
    ],
)
def test_a_bad_setting_is_an_error_and_nothing_starts(
    host: Host, options: dict[str, Any], wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        host.start({**options, **wrong})
    assert host.agent is None


def test_importing_starts_nothing(run: Callable[[str], Any]) -> None:
    run("""
import gc, sys, threading
before = (len(gc.callbacks), list(sys.meta_path))
import heapwatch
assert heapwatch.status() == {"running": False}
assert threading.active_count() == 1
assert (len(gc.callbacks), sys.meta_path) == before
assert heapwatch.__all__ == sorted(heapwatch.__all__)
assert all(hasattr(heapwatch, name) for name in heapwatch.__all__)
with heapwatch.tag("job"):
    pass
heapwatch.stop()
""")


@pytest.mark.integration
def test_what_was_allocated_before_a_quick_exit_is_delivered(
    run: Callable[[str], Any], collector: Collector
) -> None:
    run(f"import heapwatch\nheapwatch.start()\ndef fill():\n    global keep\n    {FILL}\nfill()\n")
    [last] = collector.latest_profiles().values()
    live = sum(
        sample.values[3] for sample in last.profile.samples if sample.stack[0].function.startswith("fill")
    )
    assert live == pytest.approx(20_000 * (300 + 57) + TAKEN, rel=0.05)


@pytest.mark.integration
def test_a_forked_child_is_an_instance_of_its_own(run: Callable[[str], Any], collector: Collector) -> None:
    run(f"""
import os, sys, time
import heapwatch
heapwatch.start()
def parents():
    global keep
    {FILL}
def childs():
    global more
    more = [bytearray(500) for _ in range(20_000)]
parents()
child = os.fork()
if child == 0:
    childs()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
""")
    by_instance: dict[str, list[Any]] = {}
    for pushed in collector.profiles():
        by_instance.setdefault(pushed.labels["instance"], []).append(pushed)
    assert len(by_instance) == 2
    pids = {instance: pushes[0].labels["pid"] for instance, pushes in by_instance.items()}
    assert all(f"-{pid}-" in instance for instance, pid in pids.items())

    def total(value: int, pushes: list[Any], function: str) -> int:
        samples = [s for p in pushes for s in p.profile.samples]
        return sum(s.values[value] for s in samples if s.stack[0].function.startswith(function))

    def allocated(instance: str, function: str) -> int:
        return total(1, by_instance[instance], function)

    def live(instance: str, function: str) -> int:
        return total(3, by_instance[instance][-1:], function)

    [child] = [instance for instance in by_instance if allocated(instance, "childs")]
    [parent] = set(by_instance) - {child}
    assert live(child, "childs") == pytest.approx(20_000 * (500 + 57) + TAKEN, rel=0.05)
    assert allocated(child, "parents") == 0, "the parent's allocations are not the child's"
    assert live(child, "parents") > 0, "what the parent left behind is in the child's memory"
    assert allocated(parent, "childs") == 0


@pytest.mark.integration
def test_executing_another_program_leaves_no_trace(run: Callable[[str], Any], collector: Collector) -> None:
    run("""
import os, subprocess, sys
import heapwatch
heapwatch.start()
for _ in range(3):
    subprocess.run([sys.executable, "-c", "pass"], preexec_fn=os.setpgrp, check=True)
left = os.listdir(os.environ["HEAPWATCH_RUNTIME_DIR"])
assert all(str(os.getpid()) in name for name in left), left
assert heapwatch.status()["running"]
assert heapwatch.status()["errors"] == {}
""")
    assert len({pushed.labels["instance"] for pushed in collector.profiles()}) == 1


@pytest.mark.integration
def test_forking_while_threads_allocate_and_the_agent_pushes(
    run: Callable[[str], Any], collector: Collector
) -> None:
    run("""
import multiprocessing, threading, time
import heapwatch
heapwatch.start()
end = time.monotonic() + 1
def churn():
    while time.monotonic() < end:
        [str(n) * 9 for n in range(500)]
threads = [threading.Thread(target=churn) for _ in range(3)]
for thread in threads:
    thread.start()
context = multiprocessing.get_context("fork")
def work():
    [str(n) * 9 for n in range(5000)]
while time.monotonic() < end:
    children = [context.Process(target=work) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0, child.exitcode
for thread in threads:
    thread.join()
assert heapwatch.status()["errors"] == {}, heapwatch.status()
""")
