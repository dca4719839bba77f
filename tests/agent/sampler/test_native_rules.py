"""The thread rules of the C sources, held by lints of the sources and of what the compiler makes of them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "agent" / "heapwatch" / "_sampler"
LIBRARY = SOURCES.parent / "_native"
HOOK_FILES = (
    "arrays",
    "callers",
    "context",
    "hooks",
    "lifetimes",
    "live",
    "memory",
    "native",
    "random",
    "raw",
    "rows",
    "scopes",
    "stacks",
    "threads",
    "trace",
)
PLAIN_READS = {
    "_PyThreadState_UncheckedGet",
    "PyThreadState_GetUnchecked",
    "PyGILState_GetThisThreadState",
    "PyCode_Type",
}

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="needs the source tree")


def sources() -> list[Path]:
    return sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")])


def definitions(path: Path) -> list[tuple[str, int]]:
    """Functions defined at the left margin, with their length in lines."""
    found = []
    lines = path.read_text().splitlines()
    for start, line in enumerate(lines):
        if start and line == "{":
            names = re.findall(r"(\w+)\(", lines[start - 1]) or re.findall(r"(\w+)\(", lines[start - 2])
            end = next(i for i in range(start, len(lines)) if lines[i] == "}")
            found.append((names[0], end - start))
    return found


def undefined_symbols(path: Path) -> set[str]:
    done = subprocess.run(["nm", "-u", str(path)], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm from binutils")
@pytest.mark.parametrize("name", HOOK_FILES)
def test_what_runs_in_hooks_calls_nothing_of_python(name, object_files) -> None:
    undefined = undefined_symbols(object_files / f"{name}.o")
    python = {symbol for symbol in undefined if symbol.lstrip("_").startswith("Py")}
    assert python <= PLAIN_READS


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm from binutils")
@pytest.mark.parametrize("name", HOOK_FILES)
def test_what_runs_in_hooks_calls_no_allocator(name, object_files) -> None:
    """malloc would come back through a native hook; the memory is raw mappings."""
    undefined = undefined_symbols(object_files / f"{name}.o")
    assert not {"malloc", "calloc", "realloc", "free", "printf", "fprintf"} & undefined


@pytest.mark.parametrize("name", HOOK_FILES)
def test_what_runs_in_hooks_needs_little_of_a_stack_that_may_be_nearly_used_up(name, object_files) -> None:
    usage = [line.split("\t") for line in (object_files / f"{name}.su").read_text().splitlines()]
    assert [(function, int(size)) for function, size, _ in usage if int(size) > 256] == []


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm from binutils")
def test_the_preloaded_library_needs_nothing_of_python(preloaded) -> None:
    assert not {symbol for symbol in undefined_symbols(Path(preloaded["LD_PRELOAD"])) if "Py" in symbol}


@pytest.mark.parametrize("path", [*sources(), *LIBRARY.iterdir()], ids=lambda path: path.name)
def test_every_file_says_its_thread_rule(path) -> None:
    header = path.read_text().split("*/")[0]
    assert header.startswith("/* ")
    assert "Thread rule:" in header


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_names_carry_the_rule_of_their_file(path) -> None:
    text = path.read_text()
    hook = re.search(r"^\w[^;={]*\bhook_\w+\([^;]*\)\n\{", text, re.MULTILINE)
    if path.stem in HOOK_FILES:
        assert not re.search(r"\bgil_\w+\(", text)
    elif path.suffix == ".c" and path.stem != "install":  # install.c has the fork handlers
        assert hook is None


@pytest.mark.parametrize("path", [*sources(), *LIBRARY.iterdir()], ids=lambda path: path.name)
def test_files_and_functions_are_short(path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    too_long = [(name, length) for name, length in definitions(path) if length > 50]
    assert too_long == []


@pytest.fixture(scope="module")
def object_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects")
    compiler = [
        *shlex.split(sysconfig.get_config_var("CC") or "cc"),
        "-c",
        "-O2",
        "-fPIC",
        "-std=gnu11",
        "-fstack-usage",
    ]
    for name in HOOK_FILES:
        files = [str(SOURCES / f"{name}.c"), "-o", str(folder / f"{name}.o")]
        command = [*compiler, f"-I{sysconfig.get_path('include')}", *files]
        subprocess.run(command, check=True, capture_output=True)
    return folder
