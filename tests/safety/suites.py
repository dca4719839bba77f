"""The test suites of packages that services stand on, with the sampler on, beside a run without it.

    python -m tests.safety.suites [--suites flask,sqlalchemy] [--parts test/orm] [--python 3.11]
        [--interval 1024] [--fresh]

Packages come as wheels into an environment of their own, their tests from the source archive of the same
version (numpy ships its tests in the wheel). Goes on where the last run ended; the sum is in
tests/safety/passes. Ends with 1 when a difference isn't explained in tests/safety/differences.toml.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.safety.extension import BUILDS, build_loadable, find_python
from tests.safety.runs import Records, Suite, compare
from tests.safety.summary import summarize


@dataclass(frozen=True)
class Package:
    """What a package's tests need beside it, and the paths that are run one by one, below its source archive.

    `lone`: the tests lie inside the package in the archive and would find uncompiled source there, so they
    are copied to the path of the one part. `options` are pytest's.
    """

    needs: tuple[str, ...]
    parts: tuple[str, ...]
    lone: str = ""
    archive: bool = True
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


LXML = "not (TestCaseBase or _XIncludeTestCase or _ElementSlicingTest or _XMLPullParserTest or _C14NTest)"
"""Leaves out the base classes of lxml's tests, which its own runner doesn't take for tests."""

PACKAGES = {
    "flask": Package(("asgiref", "python-dotenv"), ("tests",)),
    "sqlalchemy": Package(
        ("greenlet", "aiosqlite"),
        tuple(f"test/{name}" for name in ("base", "engine", "sql", "orm", "dialect", "ext", "aaa_profiling")),
    ),
    "lxml": Package(
        ("cssselect", "html5lib", "beautifulsoup4"),
        ("lone/lxml/tests",),
        lone="src/lxml/tests",
        options=("-k", LXML),
    ),
    "pillow": Package(
        ("defusedxml", "olefile", "packaging", "psutil", "setuptools", "numpy", "pytest-timeout"),
        ("Tests",),
        options=("--ignore=Tests/oss-fuzz",),  # needs the fuzzers' own build
        environment={"PILLOW_VALGRIND_TEST": "1"},  # no limits of a few seconds: machines are busy
    ),
    "numpy": Package(
        ("hypothesis",),
        tuple(
            f"numpy.{name}"
            for name in ("random", "lib", "linalg", "ma", "fft", "polynomial", "matrixlib", "_core")
        ),
        archive=False,
        options=("--pyargs",),
    ),
}


def environment(python: str, version: str) -> str:
    """The interpreter of an environment with all packages and what their tests need."""
    home = BUILDS / f"packages-{version}"
    interpreter = home / "bin" / "python"
    if not interpreter.exists():
        needs = sorted(
            {need for package in PACKAGES.values() for need in package.needs} | set(PACKAGES) | {"pytest<9"}
        )
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
        subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", *needs], check=True)
    return str(interpreter)


def installed_version(interpreter: str, package: str) -> str:
    command = [interpreter, "-c", f"from importlib.metadata import version; print(version({package!r}))"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def source(interpreter: str, name: str) -> Path:
    """The unpacked source archive of the installed version."""
    version = installed_version(interpreter, name)
    folder = BUILDS / "archives"
    unpacked = folder / f"{name}-{version}"
    if not unpacked.exists():
        download = [interpreter, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
        subprocess.run([*download, "--dest", str(folder), f"{name}=={version}"], check=True)
        with tarfile.open(next(folder.glob(f"{name}-{version}.tar.*"))) as archive:
            archive.extractall(folder, filter="data")
    return unpacked


def suite_of(name: str, interpreter: str, version: str) -> Suite:
    """The package's suite, ready to run."""
    package = PACKAGES[name]
    folder = source(interpreter, name) if package.archive else None
    if folder and package.lone:
        shutil.copytree(folder / package.lone, folder / package.parts[0], dirs_exist_ok=True)
        (folder / "pytest.ini").write_text("[pytest]\n")  # else pytest takes ours, further up
    options = ["-q", "-p", "no:cacheprovider", "-W", "default", *package.options]
    return Suite(
        name=f"{name}-{version}",
        python=interpreter,
        module="pytest",
        arguments=lambda part, junit: [*options, f"--junit-xml={junit}", part],
        parts=package.parts,
        directory=folder,
        # Without the first SQLAlchemy's tests take its uncompiled source.
        environment={"PYTHONNOUSERSITE": "1", **package.environment},
        passing=(0, 5),  # 5: no test ran
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--suites", default=",".join(PACKAGES), help="with commas between (default: all)")
    parser.add_argument("--parts", help="of the suites, with commas between (default: all)")
    parser.add_argument("--python", default="3.11", help="version of CPython (default: 3.11)")
    parser.add_argument(
        "--interval", type=int, default=1024, help="mean bytes between samples (default: 1024)"
    )
    parser.add_argument(
        "--limit", type=float, default=3600, help="seconds after which a part is ended (default: 3600)"
    )
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--summary", action="store_true", help="run nothing, only sum up")
    chosen = parser.parse_args(arguments)
    python = find_python(chosen.python)
    interpreter = environment(python, chosen.python)
    extension = build_loadable(python, f"extension-{chosen.python}")
    worst = 0
    for name in chosen.suites.split(","):
        suite = suite_of(name, interpreter, chosen.python)
        if chosen.parts:
            suite = replace(suite, parts=chosen.parts.split(","))
        records = Records(BUILDS / f"{suite.name}.jsonl", chosen.fresh)
        if not chosen.summary:
            compare(suite, str(chosen.interval), records, extension, chosen.limit)
        worst = max(worst, summarize(suite, str(chosen.interval), records, Path(__file__).parent))
    return worst


if __name__ == "__main__":
    sys.exit(main())
