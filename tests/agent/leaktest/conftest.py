"""Runs `heapwatch leaktest` on a few lines of code."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LeakTest = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How the command ended; `report` is its JSON, empty when there is none."""

    code: int
    report: dict[str, Any]
    text: str
    errors: str

    @property
    def first(self) -> dict[str, Any]:
        """The site named first."""
        site: dict[str, Any] = self.report["sites"][0]
        return site


@pytest.fixture
def leaktest(heapwatch: Sequence[str], tmp_path: Path) -> LeakTest:
    """leaktest(code, *arguments, json=True): the outcome for a file with `code`."""

    def run(code: str, *arguments: str, as_json: bool = True) -> Outcome:
        file = tmp_path / "shop.py"
        file.write_text(textwrap.dedent(code))
        options = ["--steps", "500", "--warmup", "60", *arguments, *(["--json"] if as_json else [])]
        done = subprocess.run(
            [*heapwatch, "leaktest", str(file), *options], capture_output=True, text=True, check=False
        )
        report = json.loads(done.stdout) if as_json and done.stdout else {}
        return Outcome(done.returncode, report, done.stdout, done.stderr)

    return run
