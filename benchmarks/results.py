"""Recorded results: what benchmarks write and docs/benchmarks.md is made of.

A result is a JSON file in benchmarks/results/: title, what was done, the command, the machine, tables as they
are shown, and the raw figures they come from. `docs/generate.py` turns all of them into the page.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Table:
    """Rows of text under `columns`; `note` says how to read them."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass(frozen=True)
class Result:
    """`order` places it on the page; `about` says what was done; `data` holds the raw figures."""

    name: str
    order: int
    title: str
    about: str
    command: str
    tables: list[Table]
    data: Any
    machine: dict[str, str] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """Where figures come from: processor, cores, load at this moment, interpreter."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": f"CPython {platform.python_version()}",
    }


def versions(*distributions: str) -> dict[str, str]:
    """Versions of those that are installed beside this interpreter."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit measured, with a plus when files that it measures differ from it."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    measured = ["agent", "wire", "CMakeLists.txt"]
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *measured], check=False).returncode
    return done.stdout.strip() + ("+" if changed else "")


def show(table: Table) -> None:
    """Print it."""
    print(f"\n{table.caption}\n{aligned([table.columns, *table.rows])}")


def record(result: Result) -> None:
    """Print the tables and write the file."""
    for table in result.tables:
        show(table)
    about = {"recorded": time.strftime("%Y-%m-%d"), "commit": commit(), "machine": machine() | result.machine}
    path = RESULTS / f"{result.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(result) | about, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}; `make docs` puts it on the page", file=sys.stderr)


def aligned(rows: list[list[str]]) -> str:
    """Rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
