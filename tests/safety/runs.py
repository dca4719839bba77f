"""One run of one part of a test suite, and what its runs with and without the sampler say together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BOOTSTRAP = Path(__file__).parent / "bootstrap"
DRIVER = BOOTSTRAP / "driver.py"
START_UP = BOOTSTRAP / "sitecustomize.py"
WHOLE = "(the whole module)"
TAIL = 4000

BARE = "bare"
INERT = "inert"
"""Settings of a run beside an interval in bytes: without us; with our start-up file, which loads nothing."""


@dataclass
class Outcome:
    """How one part of a suite did under one setting. `tests` maps names to passed, failed or skipped."""

    part: str
    setting: str
    status: str
    seconds: float
    tests: dict[str, str] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    def passed(self) -> set[str]:
        """Names of the tests that passed, and WHOLE when nothing went wrong beside them."""
        names = {name for name, result in self.tests.items() if result == "passed"}
        return names | {WHOLE} if self.status in ("passed", "skipped") else names


@dataclass(frozen=True)
class Suite:
    """How the parts of a suite are run: `python -m module arguments(part, junit file)` in `directory`.

    `ours` is an interpreter like `python` that has our start-up file; else PYTHONPATH names its folder.
    """

    name: str
    python: str
    module: str
    arguments: Callable[[str, Path], Sequence[str]]
    parts: Sequence[str]
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ours: str = ""
    passing: tuple[int, ...] = (0,)


def run(suite: Suite, part: str, setting: str, extension: Path, limit: float) -> Outcome:
    """Runs one part; after `limit` seconds it is ended with everything it started."""
    with tempfile.TemporaryDirectory(prefix="heapwatch-safety-") as folder:
        junit, report = Path(folder, "junit.xml"), Path(folder, "report.json")
        start = [suite.python, "-m"] if setting == BARE else [suite.ours or suite.python, str(DRIVER)]
        command = [*start, suite.module, *suite.arguments(part, junit)]
        began = time.monotonic()
        code, output = _call(
            command, _environment(suite, setting, extension, report, folder), suite.directory or folder, limit
        )
        tests = _tests_of(junit) if junit.exists() else {}
        sampler = json.loads(report.read_text()) if report.exists() else {}
        status = _status(suite, code, tests)
        if status in ("passed", "skipped") and setting not in (BARE, INERT) and not sampler.get("samples"):
            status = "not sampled"
        return Outcome(
            part,
            setting,
            status,
            round(time.monotonic() - began, 1),
            tests,
            sampler,
            "" if status in ("passed", "skipped") else output[-TAIL:],
        )


def _environment(suite: Suite, setting: str, extension: Path, report: Path, folder: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "LANG": "C.UTF-8", "TMPDIR": folder, **suite.environment}
    if setting == BARE:
        return environment
    if not suite.ours:
        environment["PYTHONPATH"] = str(BOOTSTRAP)
    environment["HEAPWATCH_SAFETY_REPORT"] = str(report)
    environment["HEAPWATCH_SAFETY_SAMPLER"] = str(extension)
    environment["HEAPWATCH_SAFETY_INTERVAL"] = "0" if setting == INERT else setting
    return environment


def _call(
    command: Sequence[str], environment: dict[str, str], directory: Path | str, limit: float
) -> tuple[int | None, str]:
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        child = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_heed_signals,  # noqa: PLW1509 - there are no threads
        )
        code: int | None
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_session(child.pid)
            child.wait()
        output.seek(0)
        return code, output.read()


def _heed_signals() -> None:
    # Tests interrupt themselves; in the background we ignore these signals, and children would inherit that.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _end_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tests_of(junit: Path) -> dict[str, str]:
    try:
        cases = ElementTree.parse(junit).iter("testcase")
    except ElementTree.ParseError:
        return {}
    tests: dict[str, str] = {}
    for case in cases:
        kinds = {child.tag for child in case}
        result = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        name = ".".join(filter(None, (case.get("classname"), case.get("name", "?"))))
        if tests.get(name) != "failed":  # a test and its tear-down, or several subtests
            tests[name] = result
    return tests


def _status(suite: Suite, code: int | None, tests: Mapping[str, str]) -> str:
    if code is None:
        return "timed out"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code not in suite.passing:
        return "failed"
    return "passed" if "passed" in tests.values() else "skipped"


# --- what several runs say together -------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """`kind`: same, flaky, start-up file or sampler (whose fault it is). `lost`: passed only without us."""

    kind: str
    lost: tuple[str, ...] = ()


def judge(outcomes: Sequence[Outcome], setting: str) -> Verdict:
    """What the runs of one part under one setting mean, beside those without us.

    A test is lost when it passed in every run without us and in none with us.
    """
    bare = [outcome.passed() for outcome in outcomes if outcome.setting == BARE]
    inert = [outcome.passed() for outcome in outcomes if outcome.setting == INERT]
    ours = [outcome.passed() for outcome in outcomes if outcome.setting == setting]
    lost = set.intersection(*bare).difference(*ours)
    if not lost:
        first_lost = bare[0] - ours[0]
        return Verdict("flaky", tuple(sorted(first_lost))) if first_lost else Verdict("same")
    if inert and not lost.intersection(*inert):
        return Verdict("start-up file", tuple(sorted(lost)))
    return Verdict("sampler", tuple(sorted(lost)))


class Records:
    """Outcomes in a file of JSON lines, written as they come, so that a run can be taken up again."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self.outcomes = [Outcome(**json.loads(line)) for line in lines]

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def of(self, part: str, *settings: str) -> list[Outcome]:
        """The part's outcomes under these settings, in the order in which they came."""
        return [outcome for outcome in self.outcomes if outcome.part == part and outcome.setting in settings]


def compare(
    suite: Suite,
    setting: str,
    records: Records,
    extension: Path,
    limit: float,
    say: Callable[[str], None] = print,
) -> None:
    """Runs each part without us and under `setting`, unless `records` has it; where they differ, again."""
    for number, part in enumerate(suite.parts, 1):

        def ensure(wanted: str, runs: int, part: str = part) -> None:
            while len(records.of(part, wanted)) < runs:
                records.add(run(suite, part, wanted, extension, limit))

        ensure(BARE, 1)
        ensure(setting, 1)
        if judge(records.of(part, BARE, setting), setting).kind != "same":
            ensure(INERT, 1)
            ensure(BARE, 2)
            ensure(setting, 2)
        outcomes = records.of(part, BARE, INERT, setting)
        verdict = judge(outcomes, setting)
        times = ", ".join(f"{o.setting} {o.status} {o.seconds:.0f}s" for o in outcomes)
        say(f"[{number}/{len(suite.parts)}] {part}: {verdict.kind} {' '.join(verdict.lost[:5])} ({times})")
