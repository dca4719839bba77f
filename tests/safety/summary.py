"""Sums up what the runs of a suite found: passes/NAME.json, and which differences nobody has explained.

`python -m tests.safety.summary` prints the table of all suites that docs/safety.md shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.safety.runs import BARE, WHOLE, Records, Suite, judge


def explanations(folder: Path, suite: str) -> dict[str, str]:
    """Why a test of the suite may do otherwise, by its name, from differences.toml."""
    known: dict[str, dict[str, str]] = tomllib.loads((folder / "differences.toml").read_text())
    family = suite.partition("-")[0]
    return {**known.get(family, {}), **known.get(suite, {})}


def explain(lost: Sequence[str], explained: Mapping[str, str]) -> dict[str, str | None]:
    """Why each test was lost, None where nobody knows. A module that fails by its tests needs none."""
    tests = [test for test in lost if test != WHOLE] or [WHOLE]
    return {test: explained.get(test) for test in tests}


def summarize(suite: Suite, setting: str, records: Records, folder: Path) -> int:
    """Writes the summary of all recorded parts; 1 when a difference has no explanation, else 0."""
    explained = explanations(folder, suite.name)
    groups: dict[str, dict[str, object]] = {"passes": {}, "fails without us": {}, "differs": {}, "flaky": {}}
    unexplained = []
    for part in sorted({outcome.part for outcome in records.outcomes if outcome.setting == setting}):
        bare, ours = records.of(part, BARE), records.of(part, setting)
        verdict = judge([*bare, *ours], setting)
        if verdict.kind in ("same", "flaky"):
            passed = sum(result == "passed" for result in ours[-1].tests.values())
            if passed or ours[-1].status in ("passed", "skipped"):
                groups["passes"][part] = passed
        else:
            groups["differs"][part] = reasons = explain(verdict.lost, explained)
            unexplained += [f"{part}: {test}" for test, why in reasons.items() if why is None]
        if verdict.kind == "flaky":
            groups["flaky"][part] = list(verdict.lost)
        if bare[0].status not in ("passed", "skipped"):
            failed = sorted(name for name, result in bare[0].tests.items() if result == "failed")
            groups["fails without us"][part] = failed or bare[0].status
    _write(suite, setting, records, groups, folder / "passes" / f"{suite.name}-{setting}.json")
    counts = ", ".join(f"{len(parts)} {name}" for name, parts in groups.items())
    print(f"{suite.name} at {setting} bytes: {counts}")
    for test in unexplained:
        print(f"not explained: {test}")
    return 1 if unexplained else 0


def _write(
    suite: Suite, setting: str, records: Records, groups: dict[str, dict[str, object]], path: Path
) -> None:
    """Parts that are in the file and weren't run again stay there; totals grow by those that are new."""
    before = json.loads(path.read_text()) if path.exists() else {}
    known = {part for group in groups for part in before.get(group, {})}
    run = {outcome.part for outcome in records.outcomes if outcome.setting == setting}
    for name, parts in groups.items():
        kept = {part: found for part, found in before.get(name, {}).items() if part not in run}
        groups[name] = dict(sorted({**kept, **parts}.items()))
    new = [outcome for outcome in records.outcomes if outcome.part not in known]
    ours = [outcome for outcome in new if outcome.setting == setting]
    version = subprocess.run(
        [suite.python, "-c", "import platform; print(platform.python_version())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    bare = sum(outcome.seconds for outcome in new if outcome.setting == BARE)
    heading = {
        "suite": suite.name,
        "python": version,
        "interval": int(setting),
        "tests passed": sum(count for count in groups["passes"].values() if isinstance(count, int)),
        "samples": before.get("samples", 0) + sum(outcome.sampler.get("samples", 0) for outcome in ours),
        "seconds without us": before.get("seconds without us", 0) + round(bare),
        "seconds with us": before.get("seconds with us", 0) + round(sum(o.seconds for o in ours)),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**heading, **groups}, indent=1, ensure_ascii=False) + "\n")


def table(folder: Path) -> Iterator[str]:
    """The lines of a Markdown table, one for each file of results in the folder."""
    yield "| suite | interval, bytes | modules | tests passed | samples | differ | fail without us |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text())
        modules = len({part for group in ("passes", "differs", "fails without us") for part in found[group]})
        counts = (found["interval"], modules, found["tests passed"], found["samples"])
        rest = (sum(len(tests) for tests in found["differs"].values()), len(found["fails without us"]))
        yield f"| {found['suite']} | " + " | ".join(f"{count:,}" for count in (*counts, *rest)) + " |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table(Path(__file__).parent / "passes"))
