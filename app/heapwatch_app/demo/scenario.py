"""The story of the demo: start everything, load, switch on a leak, wait for the verdict, judge it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from heapwatch.cli.render import evidence_text
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence
from rich.console import Console

from heapwatch_app.demo.children import Children, StartError
from heapwatch_app.demo.judge import mistakes
from heapwatch_app.demo.platform import Platform
from heapwatch_app.demo.view import State, View
from heapwatch_app.faults import FAULTS

SERVICE = "instagram"
START_LIMIT = 120.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Options:
    """`seconds`: limit for the verdict, or, with no fault, how long to watch."""

    fault: str | None
    seconds: float
    once: bool
    users: int
    warmup: float
    memory_limit: str
    keep: str | None


@dataclass(frozen=True)
class Outcome:
    """How the watch ended: the last analysis, and the seconds since the leak's start."""

    analysis: Analysis | None
    seconds: float

    @property
    def leaks(self) -> list[Evidence]:
        verdicts = self.analysis.verdicts if self.analysis is not None else ()
        return [v for v in verdicts if v.verdict == "leak"]


class Interrupted(Exception):
    """Ctrl-C, SIGTERM, or the terminal is gone."""


def play(options: Options) -> int:
    """Run the demo; 0 right verdict, 1 wrong or late, 2 a part failed, 130 interrupted."""
    console = Console()
    with _interruptible(), _folder(options.keep) as folder:
        children = Children(folder, {**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            return _play(options, folder, children, console)
        except StartError as error:
            console.print(f"The demo can't go on: {error}", highlight=False, markup=False)
            return 2
        except Interrupted:
            console.print("\ninterrupted: stopping every part")
            return 130
        finally:
            children.stop()


def _play(options: Options, folder: Path, children: Children, console: Console) -> int:
    platform, app_url = _start(options, folder, children, console)
    with View(console) as view:
        watch = _Watch(platform, children, view, folder / "load.json")
        watch.for_seconds("warming up", options.warmup)
        early = watch.leaks()
        if early:
            return _report_false_alarm(early, console)
        outcome = (
            _watch_fault(options, watch, folder, view)
            if options.fault
            else _watch_quiet(options, watch, view)
        )
    right = _report(options, outcome, console)
    if not options.once:
        _stay_up(platform.base, app_url, children, console)
    return 0 if right else 1


def _start(options: Options, folder: Path, children: Children, console: Console) -> tuple[Platform, str]:
    console.print("starting the collector ...")
    collector = children.start(
        "collector", ["serve", "--listen", "127.0.0.1:0", "--data", str(folder / "store")]
    )
    base = children.wait_line(collector, "listening on ", START_LIMIT)
    environ = _app_environment(folder, base, options)
    console.print("filling the app with people and photos ...")
    children.run("seed", ["app", "seed"], 120, **environ)
    port = _free_port()
    app_url = f"http://127.0.0.1:{port}"
    console.print("starting the app (gunicorn, 2 workers, agent attached), the analyzer and the load ...")
    children.start("app", ["app", "serve", "--workers", "2", "--port", str(port)], **environ)
    platform = Platform(base, SERVICE)
    _wait(platform.ready, children, "the agent's first delivery")
    children.start(
        "analyzer",
        ["analyze", "--collector", base, "--analyze-interval", "5"],
        HEAPWATCH_MEMORY_LIMIT=options.memory_limit,
    )
    load = [
        "app",
        "load",
        "--host",
        app_url,
        "--users",
        str(options.users),
        "--json-stats",
        str(folder / "load.json"),
    ]
    children.start("load", load, **environ)
    console.print(f"page: {base}/   app: {app_url}/", highlight=False)
    return platform, app_url


def _app_environment(folder: Path, collector: str, options: Options) -> dict[str, str]:
    return {
        "HEAPWATCH_APP_DATA": str(folder / "app"),
        # At its real cost scrypt takes 32 MB for a moment at each login, which would blur a small demo.
        "HEAPWATCH_APP_PASSWORD_COST": "10",
        "HEAPWATCH_COLLECTOR": collector,
        "HEAPWATCH_SERVICE": SERVICE,
        "HEAPWATCH_PUSH_INTERVAL": "3",
        "HEAPWATCH_RUNTIME_DIR": str(folder / "run"),
    }


class _Watch:
    """Looks at everything once a second and shows it."""

    def __init__(self, platform: Platform, children: Children, view: View, load_stats: Path) -> None:
        self._platform = platform
        self._children = children
        self._view = view
        self._load_stats = load_stats

    def for_seconds(self, stage: str, seconds: float) -> None:
        for _ in self.ticks(stage, seconds):
            pass

    def ticks(self, stage: str, seconds: float) -> Iterator[float]:
        """Yields the elapsed seconds about once a second, until `seconds` are over."""
        start = time.monotonic()
        pause = threading.Event()
        while (elapsed := time.monotonic() - start) < seconds:
            self._children.check()
            self._view.show(self._state(stage, elapsed, seconds))
            yield elapsed
            pause.wait(1.0)

    def analysis(self) -> Analysis | None:
        return self._platform.analysis()

    def leaks(self) -> list[Evidence]:
        return Outcome(self.analysis(), 0.0).leaks

    def _state(self, stage: str, elapsed: float, limit: float) -> State:
        load = _last_json_line(self._load_stats)
        analysis = self.analysis()
        return State(
            stage=stage,
            elapsed=elapsed,
            limit=limit,
            workers=self._platform.workers(),
            sites=self._platform.growing_sites(),
            requests_per_second=float(load.get("requests_per_second", 0.0)),
            errors=int(load.get("errors", 0)),
            p95=float(load.get("p95_ms", 0.0)),
            status=analysis.status if analysis is not None else "learning",
        )


def _watch_fault(options: Options, watch: _Watch, folder: Path, view: View) -> Outcome:
    """Switch the fault on and wait until the verdict stands whole: named, typed, held, forecast."""
    assert options.fault is not None
    fault = FAULTS[options.fault]
    fault.switch(folder / "app" / "faults.json", on=True)
    view.say(f"fault {fault.name!r} is on: {fault.description}")
    outcome = Outcome(None, 0.0)
    for elapsed in watch.ticks(f"leak {fault.name!r} is on", options.seconds):
        outcome = Outcome(watch.analysis(), elapsed)
        if outcome.leaks and not mistakes(fault, outcome.leaks):
            break
    return outcome


def _watch_quiet(options: Options, watch: _Watch, view: View) -> Outcome:
    """Watch load without a leak; ends early only on a (false) leak verdict."""
    view.say("no fault is on: the verdict must be 'no leak'")
    outcome = Outcome(None, 0.0)
    for elapsed in watch.ticks("no leak is on", options.seconds):
        outcome = Outcome(watch.analysis(), elapsed)
        if outcome.leaks:
            break
    return outcome


def _report(options: Options, outcome: Outcome, console: Console) -> bool:
    for leak in outcome.leaks:
        console.print()
        console.print(evidence_text(leak), highlight=False, markup=False, soft_wrap=True)
    if options.fault is None:
        status = outcome.analysis.status if outcome.analysis is not None else "learning"
        console.print(f"\nverdict after {outcome.seconds:.0f} s without a leak: {status}")
        return status == "no leak"
    wrong = mistakes(FAULTS[options.fault], outcome.leaks)
    for mistake in wrong:
        console.print(f"WRONG: {mistake}", highlight=False, markup=False)
    if not wrong:
        console.print(f"\nverdict after {outcome.seconds:.0f} s: right (fault {options.fault!r})")
    return not wrong


def _report_false_alarm(leaks: list[Evidence], console: Console) -> int:
    for leak in leaks:
        console.print(evidence_text(leak), highlight=False, markup=False, soft_wrap=True)
    console.print("WRONG: a leak was reported before any was switched on")
    return 1


def _stay_up(base: str, app_url: str, children: Children, console: Console) -> None:
    console.print(
        f"\nlook around: {base}/ (Heapwatch)   {app_url}/ (the app)\nCtrl-C stops everything", highlight=False
    )
    pause = threading.Event()
    while True:
        children.check()
        pause.wait(1.0)


def _wait(condition: Any, children: Children, what: str) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not condition():
        children.check()
        if time.monotonic() > deadline:
            raise StartError(f"{what} did not come within {START_LIMIT:.0f} s; --keep DIR keeps the logs")
        time.sleep(0.2)


def _last_json_line(path: Path) -> dict[str, Any]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found: dict[str, Any] = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is not None:
        folder = Path(keep).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    folder = Path(tempfile.mkdtemp(prefix="heapwatch-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turns what asks it to stop into Interrupted, so that `finally` stops the children."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for later in STOP_SIGNALS:  # An impatient second Ctrl-C must not leave half of the parts running.
            signal.signal(later, signal.SIG_IGN)
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
