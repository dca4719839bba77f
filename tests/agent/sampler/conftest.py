"""Each test runs the sampler in a process of its own, beside a module that allocates on command.

Environment, for tests/safety/stress.py: HEAPWATCH_TEST_SAMPLER names another build of the sampler,
HEAPWATCH_TEST_FLAGS are the compiler's for the one with small tables, HEAPWATCH_TEST_RUNNER is a command that
children run under (valgrind, env), HEAPWATCH_TEST_TIMEOUT how many seconds they have.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[2] / "agent" / "heapwatch" / "_sampler"
SMALL_TABLES = ("-DLIVE_LIMIT=4096", "-DSTACK_LIMIT=64", "-DROW_LIMIT=128", "-DLIFETIME_LIMIT=32")
RUNNER = shlex.split(os.environ.get("HEAPWATCH_TEST_RUNNER", ""))
TIMEOUT = float(os.environ.get("HEAPWATCH_TEST_TIMEOUT", "300"))

PRELUDE = """
import gc, importlib.util, json, os, sys, threading, time
def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
native = load("native", {native!r})
sampler = load("_sampler", {sampler!r})
RAW, MEM, OBJ, C = 0, 1, 2, 3
def rows(function, since=0):
    "Rows whose innermost frame of Python code is in the function of that name."
    return [row for row in sampler.export(since) if python_frames(row)[:1] == [function]]
def python_frames(row):
    return [function.split(".")[-1] for function, file, line in row[1] if not is_native(function, file, line)]
def is_native(function, file, line):
    return not line and (function == "[native]" or ".so" in file)
def live(function):
    "Estimated (objects, bytes) alive by the function."
    found = rows(function)
    return sum(row[5] for row in found), sum(row[6] for row in found)
def allocated(function):
    found = rows(function)
    return sum(row[7] for row in found), sum(row[8] for row in found)
def objects_of(stack, limit, budget=0.05):
    "At most `limit` objects of the stack, found in two rounds."
    walk = sampler.Walk([stack], limit)
    rounds = (walk.objects(budget / 2) for _ in range(2) if not walk.done)
    return list({{id(item): item for found in rounds for _, item in found}}.values())
"""

MANY_OBJECTS = """
sampler.start(1, 16)
def objects():
    kept = [bytes(n) for n in range(0, 3000, 7)] + [str(n) * n for n in range(300)]
    kept += [list(range(1000, 1000 + n)) for n in range(40)]
    kept += [dict.fromkeys(range(n)) for n in range(40)]
    kept += [bytearray(n) for n in range(0, 200_000, 20_001)]
    for item in kept:
        if type(item) is bytearray:
            item.extend(b"x" * 3000)
    return kept
kept = objects()
counted = live("objects")[1] + live("<listcomp>")[1]
seen = {}
for item in kept:
    for part in (item, *(item if isinstance(item, list) else ())):
        seen[id(part)] = sys.getsizeof(part)
result = counted, sum(seen.values()) + sys.getsizeof(kept)
"""


EXPORTING = """
#include <stdlib.h>
static void *volatile last;
__attribute__((noinline)) static void *make(size_t size) { last = malloc(size); return last; }
void *exported(size_t size) { last = malloc(size); return last; }
void *by_another(size_t size) { void *made = make(size); last = NULL; return made; }
"""


def compile_extension(sources: Sequence[Path], target: Path, flags: Sequence[str] = ()) -> Path:
    """Builds a C extension of this interpreter with the compiler that built Python."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    include = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    common = [
        "-shared",
        "-fPIC",
        "-O2",
        "-g1",
        "-std=gnu11",
        "-fno-strict-aliasing",
        "-fvisibility=hidden",
        "-pthread",
    ]
    command = [*compiler, *common, *include, *flags, *map(str, sources), "-lm", "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


class Sampled(Protocol):
    """Runs code in a child where `sampler` and `native` are loaded; gives back what it assigns to `result`.

    `ending` runs after that; the child must still exit with 0.
    """

    def __call__(
        self,
        code: str,
        *,
        small: bool = False,
        faulty: bool = False,
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> Any: ...


@pytest.fixture(scope="session")
def preloaded() -> dict[str, str]:
    """Environment of native mode."""
    library = sampler_path().with_name("libheapwatch_native.so")
    assert library.is_file(), "the library isn't built: pip install -e ."
    return {"LD_PRELOAD": str(library)}


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module that allocates on command."""
    return compile_extension([HERE / "native.c"], tmp_path_factory.mktemp("native") / "native.so")


@pytest.fixture(scope="session")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two functions that hand out memory; the second lets one do it that isn't exported."""
    source = tmp_path_factory.mktemp("exporting") / "library.c"
    source.write_text(EXPORTING)
    return compile_extension([source], source.with_suffix(".so"), ["-fvisibility=default"])


@pytest.fixture(scope="session")
def small_sampler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sampler with tables so small that a test can fill them."""
    flags = [*SMALL_TABLES, *shlex.split(os.environ.get("HEAPWATCH_TEST_FLAGS", ""))]
    return compile_extension(
        sorted(SOURCES.glob("*.c")), tmp_path_factory.mktemp("small") / "_sampler.so", flags
    )


@pytest.fixture(scope="session")
def faulty_sampler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sampler with small tables whose requests for memory fail on command."""
    return compile_extension(
        sorted(SOURCES.glob("*.c")),
        tmp_path_factory.mktemp("faulty") / "_sampler.so",
        ("-DHEAPWATCH_FAULTS", "-DHEAPWATCH_ASSERT_HOOKS", *SMALL_TABLES),
    )


@pytest.fixture
def sampled(native: Path, request: pytest.FixtureRequest) -> Sampled:
    def run(
        code: str,
        *,
        small: bool = False,
        faulty: bool = False,
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
        ending: str = "",
    ) -> Any:
        built = "faulty_sampler" if faulty else "small_sampler" if small else ""
        path = request.getfixturevalue(built) if built else sampler_path()
        program = PRELUDE.format(native=str(native), sampler=str(path)) + textwrap.dedent(code)
        program += f"\nprint(); print(json.dumps(result), flush=True)\n{ending}"
        done = subprocess.run(
            [*RUNNER, sys.executable, "-X", "faulthandler", *options, "-c", program],
            check=False,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, f"the child ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


def sampler_path() -> Path:
    """The sampler under test."""
    named = os.environ.get("HEAPWATCH_TEST_SAMPLER")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("heapwatch._sampler")
    assert spec is not None, "the C extension isn't built: pip install -e ."
    assert spec.origin is not None
    return Path(spec.origin)


@pytest.fixture
def many_objects() -> str:
    """A program that makes objects of many types and sizes: what was counted of them, and their true size."""
    return MANY_OBJECTS
