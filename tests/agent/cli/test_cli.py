"""The `heapwatch` command against real processes with a real agent."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from heapwatch.cli.commands.leaks import combine
from heapwatch.cli.commands.run import BOOTSTRAP, environment
from heapwatch.cli.parser import OWN, main
from heapwatch_wire import pprof
from heapwatch_wire.config import ConfigError
from heapwatch_wire.evidence import Evidence, Growth, Holder, Site

SERVICE = """
import os, sys, time
KEPT = {}
class Page:
    def __init__(self, number): self.body = bytearray(number)
def keep(number): KEPT[f"u:{number}"] = Page(2000)
for number in range(int(sys.argv[1])): keep(number)
main = os.getpid()
if len(sys.argv) > 2:
    for _ in range(2):
        if os.fork() == 0:
            for number in range(3000): keep(number)
            break
print("ready", flush=True)
while os.getpid() == main or os.getppid() == main:
    time.sleep(0.05)
"""


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Environment of a service and of the commands that look at it."""
    return {
        "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
        "HEAPWATCH_SAMPLING_INTERVAL": "4096",
        "HEAPWATCH_SAMPLING_BUDGET": "0",
    }


@pytest.fixture
def command(heapwatch: list[str], place: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def call(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*heapwatch, *arguments],
            env={**os.environ, **place},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def service(spawn: Any, wait_until: Any, place: dict[str, str], heapwatch: list[str], tmp_path: Path) -> Any:
    """A service started by `heapwatch run`, its sockets open."""
    script = tmp_path / "service.py"
    script.write_text(SERVICE)

    def start(*arguments: str, sockets: int = 1) -> Any:
        child = spawn(
            *heapwatch, "run", "--service", "shop", "--", sys.executable, str(script), *arguments, env=place
        )
        child.wait_line("ready")
        wait_until(lambda: len(list((tmp_path / "run").glob("*.sock"))) >= sockets, what="sockets")
        return child

    return start


@pytest.mark.integration
def test_types_are_counted_and_compared(service: Any, command: Any, tmp_path: Path) -> None:
    child = service("3000")
    shown = command("census", str(child.pid), "--limit", "3").stdout
    assert "bytearray" in shown.splitlines()[2]
    answers = json.loads(command("census", str(child.pid), "--json").stdout)
    assert answers[str(child.pid)]["types"]["__main__.Page"]["objects"] == 3000
    answers[str(child.pid)]["types"]["__main__.Page"].update(objects=1000, bytes=0)
    before = tmp_path / "before.json"
    before.write_text(json.dumps(answers))
    changed = command("census", str(child.pid), "--since", str(before)).stdout.splitlines()
    page = next(line for line in changed if line.endswith("__main__.Page"))
    assert "+2,000" in page
    before.write_text("[]")
    assert "is no census" in command("census", str(child.pid), "--since", str(before), code=1).stderr


@pytest.mark.integration
def test_a_service_is_looked_at_from_outside(
    service: Any, command: Callable[..., Any], wait_until: Any, tmp_path: Path
) -> None:
    pid = str(service("5000").pid)
    assert pid in command("ps").stdout
    assert json.loads(command("ps", "--json").stdout)[0]["service"] == "shop"

    sites = wait_until(lambda: json.loads(command("top", pid, "--once", "--json").stdout)["sites"])
    assert any(site["function"] in ("keep", "Page.__init__") for site in sites)
    assert "service.py:" in command("top", pid, "--once").stdout

    site = next(s["id"] for s in sites if s["function"] == "keep")
    assert "__main__.KEPT[*]" in command("holders", pid, "--site", site).stdout

    assert "Nothing grows" in command("leaks", pid).stdout
    assert json.loads(command("leaks", pid, "--json").stdout) == {"documents": []}

    file = tmp_path / "heap.pb.gz"
    assert str(file) in command("snapshot", pid, "-o", str(file)).stdout
    assert pprof.decode(file.read_bytes()).samples

    command("snapshot", pid, "--peak", "-o", str(file))
    peak = pprof.decode(file.read_bytes())
    kept = [sample for sample in peak.samples if any(frame.function == "keep" for frame in sample.stack)]
    assert sum(sample.values[3] for sample in kept) > 100_000
    assert {sample.values[:2] for sample in kept} == {(0, 0)}

    assert f"heapwatch resume {pid}" in command("pause", pid).stdout
    assert json.loads(command("pause", pid, "--json").stdout)[pid]["enabled"] == 0
    assert "samples again" in command("resume", pid).stdout
    assert json.loads(command("resume", pid, "--json").stdout)[pid]["enabled"] == 1

    assert "collected" in command("gc", pid, "--collect").stdout
    assert "generation" in command("gc", pid).stdout
    watched = command("gc", pid, "--watch", "0.1").stdout
    assert "no collection" in watched or "generation" in watched
    assert "given back" in command("trim", pid).stdout
    assert "no live samples" in command("holders", pid, "--site", "0" * 16, code=1).stderr
    assert "can't be written" in command("snapshot", pid, "-o", "/nonexistent/x", code=1).stderr


@pytest.mark.integration
def test_a_main_process_stands_for_its_workers(
    service: Any, command: Callable[..., Any], tmp_path: Path
) -> None:
    pid = service("10", "fork", sockets=3).pid
    answer = json.loads(command("top", str(pid), "--once", "--json").stdout)
    assert len(answer["processes"]) == 3
    assert sum(site["live_objects"] for site in answer["sites"] if site["function"] == "keep") > 1000
    file = tmp_path / "all.pb.gz"
    command("snapshot", str(pid), "-o", str(file))
    labels = {
        label for s in pprof.decode(file.read_bytes()).samples for label in s.labels if label[0] == "pid"
    }
    assert len(labels) >= 2


@pytest.mark.integration
def test_the_program_takes_the_place_of_run(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("run", "--", sys.executable, "-c", "print('hello')").stdout == "hello\n"
    command("run", "--", sys.executable, "-c", "raise SystemExit(7)", code=7)
    assert "no such program" in command("run", "--", "no-such-program-here", code=127).stderr
    command("run", "--", "/etc/hostname", code=126)
    assert "no program to run" in command("run", code=1).stderr
    (tmp_path / "uwsgi").symlink_to("/bin/sh")
    asked = command("run", "--", str(tmp_path / "uwsgi"), "-c", "echo $UWSGI_ENABLE_THREADS")
    assert asked.stdout == "true\n"
    assert (
        "--sampling-interval='huge'"
        in command("run", "--sampling-interval", "huge", "--", "true", code=1).stderr
    )


@pytest.mark.integration
def test_errors_say_the_mend(command: Callable[..., Any], spawn: Any) -> None:
    assert "heapwatch run -- COMMAND" in command("ps").stdout
    gone = command("top", "4194305", code=1).stderr
    assert "there is no process 4194305" in gone
    assert "heapwatch ps" in gone
    bare = spawn("sleep", "60")
    assert "has no Heapwatch agent" in command("leaks", str(bare.pid), code=1).stderr
    assert "heapwatch ps" in command("top", "me", code=2).stderr


def test_settings_become_the_environment() -> None:
    options = {"service": "shop", "sampling_interval": "128KiB", "holders": False, "instrument": None}
    result = environment(options, {"PYTHONPATH": "/own", "HEAPWATCH_ENABLED": "off"})
    assert result == {
        "HEAPWATCH_SERVICE": "shop",
        "HEAPWATCH_SAMPLING_INTERVAL": "128KiB",
        "HEAPWATCH_HOLDERS": "off",
        "HEAPWATCH_ENABLED": "on",
        "PYTHONPATH": f"{BOOTSTRAP}{os.pathsep}/own",
    }
    assert (BOOTSTRAP / "sitecustomize.py").is_file()
    with pytest.raises(ConfigError, match="--push-interval='never'"):
        environment({"push_interval": "never"}, {})


def evidence(site: str, rate: float, *, verdict: Any = "suspicion", held: bool = False) -> Evidence:
    holders = (Holder("shop.KEPT[*]", "module", (), 1.0),) if held else ()
    growth = Growth(rate, rate - 30, rate + 30, rate / 10)
    return Evidence(
        verdict, "shop", "", Site(site, site, "a.py", 1), "", rate * 100, 10, growth, 0, holders=holders
    )


def test_workers_are_added_up_by_site() -> None:
    documents = combine(
        [[evidence("a", 100), evidence("b", 500)], [evidence("a", 300, verdict="leak", held=True)], []]
    )
    assert [d.site.id for d in documents] == ["b", "a"]
    merged = documents[1]
    assert (merged.verdict, merged.growing, merged.instances) == ("leak", 2, 3)
    assert merged.growth.bytes_per_second == 400
    assert merged.growth.high - 400 == pytest.approx(30 * 2**0.5)
    assert merged.live_bytes == 40_000
    assert merged.holders


@pytest.mark.parametrize("name", sorted(OWN))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"heapwatch {name}" in text


def test_the_list_of_commands_says_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in OWN)
    assert "heapwatch run -- gunicorn app:app" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["heapwatch"], told["python"]) == (metadata.version("heapwatch"), platform.python_version())
    assert told["sampler"] is not bool(told["no_sampler"])
    assert main(["version"]) == 0
    line = capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, line)
    assert line.startswith(f"heapwatch {told['heapwatch']}, Python {told['python']}, ")
    assert line.count("\n") == 1


def test_the_version_says_why_the_sampler_does_not_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "heapwatch._sampler", None)
    assert main(["version"]) == 0
    assert "no sampler: the C extension can't be loaded" in capsys.readouterr().out
