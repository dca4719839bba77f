"""The build script and what it may leave behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def sources(web: Path, build_script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page's sources that the build script takes for its own."""
    folder = tmp_path / "web"
    shutil.copytree(web, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    monkeypatch.setattr(build_script, "WEB", folder)
    monkeypatch.setattr(build_script, "DIST", folder / "dist")
    return folder


def node(folder: Path, version: str) -> Path:
    """A folder with a node that says `version`, and npm."""
    folder.mkdir(parents=True)
    (folder / "npm").touch()
    (folder / "node").write_text(f"#!/bin/sh\necho {version}\n")
    (folder / "node").chmod(0o755)
    return folder


def test_built_until_a_source_changes(build_script: ModuleType, sources: Path) -> None:
    assert not build_script.is_built()
    (sources / "dist").mkdir()
    (sources / "dist" / "index.html").touch()
    assert build_script.is_built()
    later = (sources / "dist" / "index.html").stat().st_mtime + 1
    os.utime(sources / "src" / "views" / "leak.tsx", (later, later))
    assert not build_script.is_built()


@pytest.mark.parametrize(
    ("version", "usable"),
    [("v18.20.0", False), ("v20.18.3", False), ("v20.19.0", True), ("v21.7.0", False), ("v22.12.0", True),
     ("v24.1.0", True), ("nonsense", False)],
)  # fmt: skip
def test_which_node_will_do(build_script: ModuleType, tmp_path: Path, version: str, usable: bool) -> None:
    assert build_script.usable(node(tmp_path / "bin", version)) is usable


def test_the_machines_node_comes_first(
    build_script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, own = node(tmp_path / "machine", "v20.19.0"), node(tmp_path / "own", "v24.0.0")
    monkeypatch.setattr(build_script, "own_folder", lambda: own)
    monkeypatch.setenv("PATH", f"{machine}{os.pathsep}{os.environ['PATH']}")
    assert build_script.find_node() == machine
    (machine / "node").write_text("#!/bin/sh\necho v16.0.0\n")
    assert build_script.find_node() == own


def test_an_unknown_option_is_refused(web: Path) -> None:
    command = [sys.executable, str(web / "build.py"), "--fast"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "usage: build.py [--force]" in done.stderr


def test_the_lock_names_versions_and_no_addresses(web: Path) -> None:
    packages = json.loads((web / "package-lock.json").read_text())["packages"]
    assert len(packages) > 20
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@pytest.mark.usefixtures("built")
def test_the_bundle_names_no_other_host(web: Path) -> None:
    html = (web / "dist" / "index.html").read_text()
    assert re.findall(r"(?:src|href)=\"(?!\./assets/)[^\"]*", html) == []
    assert "default-src" in html
    for sheet in (web / "dist" / "assets").glob("*.css"):
        assert "url(" not in sheet.read_text()
