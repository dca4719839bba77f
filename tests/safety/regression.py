"""CPython's own regression suite with the sampler on, module by module beside a run without it.

    python -m tests.safety.regression [--python 3.11] [--interval 1024] [--modules test_gc,test_os] [--fresh]

A run goes on where the last one ended. Findings stay in build/safety, the sum in tests/safety/passes.
Ends with 1 when a difference isn't explained in tests/safety/differences.toml.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.safety.extension import BUILDS, build_loadable, find_python, install_clean
from tests.safety.runs import START_UP, Records, Suite, compare
from tests.safety.summary import summarize

FIRST = """
    gc capi threading thread threadedtempfile threading_local thread_local_bytecode fork1 wait3 wait4 os
    posix signal threadsignals _xxsubinterpreters _interpreters interpreters interpreter_pool weakref
    weakset finalization tracemalloc faulthandler generators generator_stop coroutines asyncgen code
    frame sys sys_settrace sys_setprofile monitoring traceback exceptions except_star raise list dict
    set tuple bytes unicode array bytearray buffer memoryview memoryio io file mmap ctypes pickle json
    struct zlib bz2 lzma sqlite3 hashlib ssl re functools itertools deque heapq contextvars context
    subprocess sched queue dynamic descr class super metaclass types type_cache isinstance decimal long
    float complex int numeric_tower builtin compile ast syntax parser peg_generator grammar dis opcache
    import importlib zipimport module atexit audit embed repl cmd_line site sax minidom xml_etree
    xml_etree_c pyexpat unittest regrtest asyncio concurrent_futures multiprocessing_fork
    multiprocessing_forkserver multiprocessing_spawn
"""
"""Names of modules, in order: what meets the sampler at its most delicate comes first."""


def order(modules: Sequence[str]) -> list[str]:
    """The modules, those of FIRST (with their submodules) at the front."""
    place = {f"test_{name}": number for number, name in reversed(list(enumerate(FIRST.split())))}

    def rank(module: str) -> int:
        name = next((part for part in module.split(".") if part.startswith("test_")), module)
        return place.get(name, len(place))

    return sorted(modules, key=rank)


def modules_of(python: str) -> list[str]:
    """The modules of the interpreter's regression suite. RuntimeError where it was installed without."""
    done = subprocess.run([python, "-m", "test", "--list-tests"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{python} has no `test` package: install one built with its tests")
    return done.stdout.split()


def regression(python: str, version: str, modules: Sequence[str]) -> Suite:
    """The suite of that interpreter."""
    return Suite(
        name=f"cpython-{version}",
        python=install_clean(python, f"bare-{version}"),
        module="test",
        arguments=lambda part, junit: ["--junit-xml", str(junit), part],
        parts=modules,
        ours=install_clean(python, f"ours-{version}", START_UP),
        passing=(0, 4),  # 4: no test ran
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default="3.11", help="version of CPython (default: 3.11)")
    parser.add_argument(
        "--interval", type=int, default=1024, help="mean bytes between samples (default: 1024)"
    )
    parser.add_argument("--modules", default="", help="only these, with commas between (default: all)")
    parser.add_argument(
        "--limit", type=float, default=900, help="seconds after which a module is ended (default: 900)"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--summary", action="store_true", help="run nothing, only sum up")
    chosen = parser.parse_args(arguments)
    python = find_python(chosen.python)
    records = Records(BUILDS / f"cpython-{chosen.python}.jsonl", chosen.fresh)
    modules = chosen.modules.split(",") if chosen.modules else order(modules_of(python))
    suite = regression(python, chosen.python, modules)
    if not chosen.summary:
        extension = build_loadable(python, f"extension-{chosen.python}")
        compare(
            suite,
            str(chosen.interval),
            records,
            extension,
            chosen.limit,
            lambda line: print(line, flush=True),
        )
    return summarize(suite, str(chosen.interval), records, Path(__file__).parent)


if __name__ == "__main__":
    sys.exit(main())
