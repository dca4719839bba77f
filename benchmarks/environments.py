"""Environments that benchmarks run in: an interpreter with this project, the workloads' libraries and peers.

They live in build/benchmarks/, apart from .venv, so that no peer is a dependency of ours. Every tool, and
none, is measured in the same environment.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from benchmarks.results import ROOT

BUILD = ROOT / "build" / "benchmarks"
WORKLOADS = ["flask>=3", "sqlalchemy>=2", "pillow>=11", "numpy>=1.26"]
PEERS = ["ddtrace", "pyroscope-io", "memray"]
DEBIAN = Path("/usr/bin/python3")
SOURCES = ("agent/heapwatch", "wire/heapwatch_wire", "CMakeLists.txt", "pyproject.toml")
SAMPLER_SOURCES = ("agent/heapwatch/_sampler", "agent/heapwatch/_native", "CMakeLists.txt")


def environment(python: Path, name: str, requirements: list[str] | None = None) -> Path:
    """The interpreter of build/benchmarks/NAME, made from `python` when needed, with our current sources.

    A requirement that can't be installed is said and left out.
    """
    folder = BUILD / name
    inside = folder / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
        for requirement in WORKLOADS + PEERS if requirements is None else requirements:
            if not install(inside, requirement):
                print(f"{requirement} can't be installed for {python} and is left out", file=sys.stderr)
    stamp = folder / "heapwatch.sources"
    if not stamp.exists() or stamp.read_text() != digest():
        if not install(inside, str(ROOT), "--force-reinstall", "--no-deps"):
            raise RuntimeError(f"this project can't be installed for {python}; pip's reason is above")
        stamp.write_text(digest())
    return inside


def install(python: Path, *arguments: str) -> bool:
    """Whether this environment's pip could install into that of `python`."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def builds() -> dict[str, Path]:
    """Name of a build -> interpreter: the one that runs this, and Debian's where there is one."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = {"pgo" if optimized() else "plain": own}
    if DEBIAN.exists() and DEBIAN.resolve() != own.resolve():
        found.setdefault("pgo", DEBIAN)  # Debian's rules build it with profile-guided optimization
    return found


def optimized() -> bool:
    """Whether this interpreter was built with profile-guided optimization."""
    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def digest(sources: Iterable[str] = SOURCES) -> str:
    """Changes when one of the sources does."""
    found = hashlib.sha256()
    for source in sources:
        path = ROOT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in {".c", ".h", ".py", ".toml", ".txt"}:
                found.update(file.read_bytes())
    return found.hexdigest()[:16]
