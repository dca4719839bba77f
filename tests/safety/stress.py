"""The sampler's stress test for as long as wanted, on builds that notice what others survive by luck.

    python -m tests.safety.stress [--minutes 5] [--builds checks,address] [--python 3.11]

Threads, forks, collections at every chance, realloc storms, starts, stops, rates and exports at once, over
each of Python's allocators: tests/agent/sampler/test_stress.py. Builds:

    plain     as installed
    checks    asserts the thread rules: table lock, GIL
    address   AddressSanitizer and UndefinedBehaviorSanitizer
    thread    ThreadSanitizer: what runs without the GIL
    memcheck  valgrind, over the C allocator only, for it is 30 times slower
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.safety.extension import ROOT, build, find_python

TEST = ROOT / "tests" / "agent" / "sampler" / "test_stress.py"
PATIENCE = 240
"""Seconds beyond the wanted ones that a child may take: sanitizers make its end slow."""


@dataclass(frozen=True)
class Build:
    """How to build, what to run children under, and which cases make sense: how many, by pytest's -k."""

    options: tuple[str, ...]
    cases: int
    chosen: str = ""
    runner: str = ""
    flags: str = ""


def _sanitizer(names: str, library: str, settings: str) -> Build:
    found = subprocess.run(["gcc", f"-print-file-name={library}"], check=True, capture_output=True, text=True)
    return Build(
        (f"-DHEAPWATCH_SANITIZE={names}", "-DHEAPWATCH_ASSERT_HOOKS=ON"),
        cases=6,
        chosen="not native",  # the sanitizer stands where the library of native mode would
        runner=f"env LD_PRELOAD={found.stdout.strip()} {settings}",
        flags=f"-fsanitize={names} -fno-omit-frame-pointer -fno-sanitize-recover=all",
    )


def _build(name: str) -> Build:
    if name == "plain":
        return Build((), cases=9)
    if name == "checks":
        return Build(("-DHEAPWATCH_ASSERT_HOOKS=ON",), cases=9, flags="-DHEAPWATCH_ASSERT_HOOKS=1")
    if name == "address":
        # Leaks: the interpreter's own are many. Refused allocations are part of the test.
        return _sanitizer(
            "address,undefined", "libasan.so", "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1"
        )
    if name == "thread":
        return _sanitizer("thread", "libtsan.so", "TSAN_OPTIONS=exitcode=66:history_size=7")
    if name == "memcheck":
        # CPython's own use of uninitialised values, all harmless, would be reported without end.
        valgrind = "valgrind -q --error-exitcode=99 --undef-value-errors=no --num-callers=20 --fair-sched=yes"
        return Build((), cases=1, chosen="allocator and not debug and not native", runner=valgrind)
    raise ValueError(f"no build is called {name!r}: choose from plain, checks, address, thread, memcheck")


def stress(name: str, python: str, seconds: float) -> int:
    """Runs the cases of a build for `seconds` together; returns pytest's exit code."""
    wanted = _build(name)
    version = subprocess.run([python, "-VV"], check=True, capture_output=True, text=True).stdout.split()[1]
    extension = build(python, f"{name}-{version}", wanted.options)
    each = seconds / wanted.cases
    environment = {
        **os.environ,
        "HEAPWATCH_TEST_SAMPLER": str(extension),
        "HEAPWATCH_TEST_RUNNER": wanted.runner,
        "HEAPWATCH_TEST_FLAGS": wanted.flags,
        "HEAPWATCH_TEST_TIMEOUT": str(each + PATIENCE),
        "HEAPWATCH_STRESS_SECONDS": str(each),
    }
    limit = ["--timeout", str(int(each + 2 * PATIENCE))]
    command = [
        python,
        "-m",
        "pytest",
        "-v",
        "-rN",
        *limit,
        str(TEST),
        *(["-k", wanted.chosen] if wanted.chosen else []),
    ]
    print(f"== {name}: {wanted.cases} cases of {each:.0f} s\n$ {shlex.join(command)}", flush=True)
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5, help="of all builds together (default: 5)")
    parser.add_argument(
        "--builds", default="checks,address", help="with commas between (default: checks,address)"
    )
    parser.add_argument(
        "--python", default="", help="version or path of a CPython that has pytest (default: this one)"
    )
    chosen = parser.parse_args(arguments)
    python = chosen.python or sys.executable
    if not Path(python).is_absolute():
        python = find_python(python)
    names = chosen.builds.split(",")
    codes = [stress(name, python, 60 * chosen.minutes / len(names)) for name in names]
    for name, code in zip(names, codes, strict=True):
        print(f"{name}: {'ok' if code == 0 else f'FAILED ({code})'}")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
