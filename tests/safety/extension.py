"""Builds the native code for an interpreter into a folder of its own, with a sanitizer if wanted; copies
interpreters."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILDS = ROOT / "build" / "safety"


def find_python(version: str) -> str:
    """The interpreter of that version ("3.12"), from the path or pyenv. RuntimeError where there is none."""
    candidates = [
        shutil.which(f"python{version}"),
        *Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"),
    ]
    for candidate in filter(None, candidates):
        command = [
            str(candidate),
            "-c",
            "import sys; print(*sys.version_info[:2], sep='.'); print(sys.executable)",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.split("\n")[0] == version:
            return done.stdout.split("\n")[1]
    raise RuntimeError(f"CPython {version} is not on this machine: put python{version} on the PATH")


def build(python: str, name: str, options: Sequence[str] = ()) -> Path:
    """The built `_sampler` of that interpreter; `libheapwatch_native.so` lies beside it."""
    folder = BUILDS / name
    setup = [
        "cmake",
        "-S",
        str(ROOT),
        "-B",
        str(folder),
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DPython_EXECUTABLE={python}",
    ]
    for command in ([*setup, *options], ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return next(folder.glob("_sampler*.so"))


def build_loadable(python: str, name: str) -> Path:
    """An ordinary build that was seen to load; RuntimeError where it doesn't, for each test would fail."""
    extension = build(python, name)
    load = (
        "from importlib import util; import sys; "
        "util.module_from_spec(util.spec_from_file_location('_sampler', sys.argv[1]))"
    )
    done = subprocess.run([python, "-c", load, str(extension)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{extension} can't be loaded: {done.stderr}")
    return extension


def install_clean(python: str, name: str, start_up: Path | None = None) -> str:
    """A copy of the interpreter, its library by links, whose site-packages hold nothing but `start_up`.

    What a machine has installed there may start with every Python, and its tests would see that. Other than a
    folder on PYTHONPATH, `start_up` is also found by the many children that tests start in isolated mode.
    """
    version, prefix = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2], sep='.'); print(sys.base_prefix)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    library = Path("lib", f"python{version}")
    home = BUILDS / name
    shutil.rmtree(home, ignore_errors=True)
    (home / "bin").mkdir(parents=True)
    (home / library / "site-packages").mkdir(parents=True)
    shutil.copy2(Path(prefix, "bin", f"python{version}"), home / "bin")
    (home / "include").symlink_to(Path(prefix, "include"))
    for entry in Path(prefix, library).iterdir():
        if entry.name != "site-packages":
            (home / library / entry.name).symlink_to(entry)
    if start_up is not None:
        shutil.copy2(start_up, home / library / "site-packages")
    return str(home / "bin" / f"python{version}")
