"""How often `heapwatch leaktest` is right on real leaks of published packages and on what only looks so.

    python -m benchmarks.leaks [--data ../shared/leaks] [--json FILE] [--record] [--only CASE[,CASE]]

The folder holds `run_case.py`, which makes an environment for each case, and `cases/NAME/` with case.py,
case.toml, requirements.txt and, where the leak was mended, fixed.txt. Each variant is run with the case's
own steps and warm-up. Prints a line for each, then precision, recall, how often the culprit's file and the
holder were named, and seconds. Says so and ends with 0 when the folder is not there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Result, Table, record

ROOT = Path(__file__).resolve().parents[1]
SITES_LOOKED_AT = 3
TIMEOUT = 600
_EXTENSION = re.compile(r"\((?:C|C\+\+|Cython|Rust) ext\)")
_PACKAGES = re.compile(r"^.*/(?:site-packages|lib/python3\.\d+)/")
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
_HELD_BY_C = ("C-level", "native")


@dataclass(frozen=True)
class Outcome:
    """One run: what was expected and what was said. None where the case doesn't tell."""

    case: str
    variant: str
    expected: bool
    said: bool | None
    kind: str
    bytes_per_step: float
    known_bytes_per_step: float | None
    culprit: str
    culprit_first: bool | None
    culprit_named: bool | None
    holder_named: bool | None
    steps: int
    seconds: float
    cpu_seconds: float
    error: str = ""


def main() -> int:
    """Run the cases; 0 also when there are none."""
    args = _arguments()
    data = Path(args.data).resolve()
    if not (data / "run_case.py").is_file():
        print(f"no leak cases in {data}: name their folder with --data; nothing to do")
        return 0
    machinery = _machinery(data / "run_case.py")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        packages = _packages(scratch)
        for folder, variant in _variants(data / "cases", set(filter(None, args.only.split(",")))):
            results.append(run_case(machinery, packages, folder, variant))
            print(_line(results[-1]), flush=True)
    summary = summarize(results)
    print(json.dumps(summary, indent=2))
    if args.json:
        rows = [asdict(result) for result in results]
        Path(args.json).write_text(json.dumps({"summary": summary, "results": rows}, indent=1) + "\n")
    if args.record:
        record(recorded(summary, [asdict(result) for result in results]))
    return 0


def recorded(summary: Mapping[str, Any], rows: list[dict[str, Any]]) -> Result:
    """For docs/benchmarks.md."""
    leaking = [row for row in rows if row["expected"]]
    found = [row for row in leaking if row["said"]]
    silent = [row for row in rows if not row["expected"]]

    def named(key: str) -> str:
        known = [row[key] for row in found if row[key] is not None]
        return f"{sum(known)} of {len(known)}"

    shown = [
        ["leaks found", f"{len(found)} of {len(leaking)}"],
        [
            "fixed versions and look-alikes left alone",
            f"{sum(not r['said'] for r in silent)} of {len(silent)}",
        ],
        ["the culprit's file is that of the first site", named("culprit_first")],
        ["the holder is named, of those held by Python objects", named("holder_named")],
    ]
    return Result(
        name="leaks",
        order=71,
        title="Leaks of published packages",
        about="`heapwatch leaktest` on packages that leaked and on their mended versions, each with its"
        f" case's steps and warm-up; {summary['cpu_seconds'] / summary['runs']:.1f} s of CPU a case.",
        command="python -m benchmarks.leaks --record",
        tables=[Table("Verdicts", ["what", "cases"], shown)],
        data={"summary": summary, "results": rows},
    )


def run_case(machinery: Any, packages: str, folder: Path, variant: str) -> Outcome:
    """Run one variant of a case in its environment and compare."""
    facts = tomllib.loads((folder / "case.toml").read_text())
    fixed = variant == "fixed"
    python = machinery.ensure_venv(str(folder), facts, fixed)
    steps = int(facts.get("steps", 2000))
    warmup = int(facts.get("warmup", max(50, steps // 5)))
    command = [python, "-W", "ignore", "-m", "heapwatch", "leaktest", str(folder / "case.py"), "--json"]
    started, cpu = time.perf_counter(), _cpu_of_children()
    done = subprocess.run(
        [*command, "--steps", str(steps), "--warmup", str(warmup)],
        capture_output=True,
        text=True,
        env=_environment(facts, fixed, packages),
        cwd=folder,
        timeout=TIMEOUT,
        check=False,
    )
    took = (time.perf_counter() - started, _cpu_of_children() - cpu)
    expected = not fixed and facts.get("expected") != "no-leak"
    report = json.loads(done.stdout) if done.returncode in (0, 1) else None
    data = folder.parents[1]
    error = done.stderr.replace(f"{data}/", "")[-300:]
    return _compare(folder.name, variant, facts, expected, report, took, error, data)


def summarize(results: list[Outcome]) -> dict[str, Any]:
    """Shares over all results; the cases that were wrong by name."""
    said = [r for r in results if r.said]
    leaks = [r for r in results if r.expected]
    found = [r for r in leaks if r.said]
    return {
        "runs": len(results),
        "precision": _share([r.expected for r in said]),
        "recall": _share([bool(r.said) for r in leaks]),
        "culprit_first": _share([r.culprit_first for r in found if r.culprit_first is not None]),
        "culprit_named": _share([r.culprit_named for r in found if r.culprit_named is not None]),
        "holder_named": _share([r.holder_named for r in found if r.holder_named is not None]),
        "seconds": round(sum(r.seconds for r in results), 1),
        "cpu_seconds": round(sum(r.cpu_seconds for r in results), 1),
        "slowest_seconds": round(max((r.seconds for r in results), default=0.0), 1),
        "wrong": [f"{r.case} {r.variant}" for r in results if r.said != r.expected],
        "culprit_wrong": [r.case for r in found if r.culprit_named is False],
        "holder_wrong": [r.case for r in found if r.holder_named is False],
    }


def _compare(
    case: str,
    variant: str,
    facts: Mapping[str, Any],
    expected: bool,
    report: Mapping[str, Any] | None,
    took: tuple[float, float],
    error: str,
    data: Path,
) -> Outcome:
    sites = report["sites"] if report else []
    judged = expected and report is not None and bool(sites)
    matches = [_is_culprit(site, facts) for site in sites[:SITES_LOOKED_AT]] if judged else []
    return Outcome(
        case=case,
        variant=variant,
        expected=expected,
        said=report["leak"] if report else None,
        kind=report["kind"] if report else "",
        bytes_per_step=report["bytes_per_step"] if report else 0.0,
        known_bytes_per_step=facts.get("bytes_per_step") if expected else None,
        culprit=_place(sites[0], data) if sites else "",
        culprit_first=matches[0] if judged else None,
        culprit_named=any(matches) if judged else None,
        holder_named=_holder_named(sites, facts) if judged else None,
        steps=report["steps"] if report else 0,
        seconds=round(took[0], 1),
        cpu_seconds=round(took[1], 1),
        error="" if report else error,
    )


def _is_culprit(site: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether the site is in the culprit's file; of an extension module, in a Python file that calls it."""
    culprit = str(facts["culprit_file"])
    file = str(site["file"])
    if not _EXTENSION.search(culprit):
        return any(file.endswith("/" + name) for name in re.findall(r"[\w/]+\.py", culprit))
    callers = {s.split(":")[0] for s in facts.get("measured", {}).get("alloc_sites", [])} | {"case.py"}
    modules = {part.strip("_") for part in str(site.get("module", "")).split(".")} - {""}
    culprits = {part.strip("_") for part in re.findall(r"\w+", _EXTENSION.sub("", culprit))}
    return bool(modules & culprits) or any(file.endswith("/" + caller) for caller in callers)


def _holder_named(sites: list[Mapping[str, Any]], facts: Mapping[str, Any]) -> bool | None:
    """Whether some site names the container; None when it is not one of Python's or not known."""
    holder = str(facts.get("holder", ""))
    names = [name.rpartition(".")[2] for name in _DOTTED.findall(holder)]
    if not names or holder.startswith(_HELD_BY_C) or "cycle" in holder:
        return None
    return any(name in text for site in sites for text in site["holders"] for name in names)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = ROOT.parent / "shared" / "leaks"
    parser.add_argument("--data", default=default, help="folder of the cases (default: ../shared/leaks)")
    parser.add_argument("--json", default="", metavar="FILE", help="write all results to FILE")
    parser.add_argument("--record", action="store_true", help="write the figures to benchmarks/results")
    parser.add_argument("--only", default="", metavar="CASE[,CASE]", help="run these cases only")
    return parser.parse_args()


def _machinery(path: Path) -> Any:
    # It looks for uv on the path, and names environments by the interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    spec = importlib.util.spec_from_file_location("run_case", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(module, "PY", str(Path(sys.executable).with_name("python3")))  # noqa: B010  # No attribute for checkers.
    return module


def _environment(facts: Mapping[str, Any], fixed: bool, packages: str) -> dict[str, str]:
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    environment["PYTHONPATH"] = packages
    environment.update({k: str(v) for k, v in facts.get("env", {}).items()})
    if fixed:
        environment.update({k: str(v) for k, v in facts.get("env_fixed", {}).items()})
    return environment


def _packages(folder: str) -> str:
    """`folder` after heapwatch with its compiled parts, and heapwatch_wire, were copied there: the
    environments of the cases don't have them."""
    for source in (ROOT / "agent" / "heapwatch", ROOT / "wire" / "heapwatch_wire"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "*.h")
        shutil.copytree(source, Path(folder) / source.name, ignore=ignored)
    spec = importlib.util.find_spec("heapwatch._sampler")
    if spec is None or not spec.origin:
        sys.exit("heapwatch is not built for this Python: pip install -e .")
    for library in Path(spec.origin).parent.glob("*.so"):
        shutil.copy(library, Path(folder) / "heapwatch")
    return folder


def _variants(cases: Path, wanted: set[str]) -> Iterator[tuple[Path, str]]:
    """Each case's folder with "leak" and, where the leak was mended for this Python, "fixed"."""
    for folder in sorted(toml.parent for toml in cases.glob("*/case.toml")):
        if wanted and folder.name not in wanted:
            continue
        yield folder, "leak"
        if (folder / "fixed.txt").is_file() and "fixed_needs_python" not in (
            folder / "case.toml"
        ).read_text():
            yield folder, "fixed"


def _place(site: Mapping[str, Any], data: Path) -> str:
    """The site as no machine's folders show: of a package, of Python's library, or of the case in `data`."""
    file = _PACKAGES.sub("", str(site["file"])).removeprefix(f"{data}/")
    return f"{file}:{site['line']} {site['function']}"


def _share(values: list[bool]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _line(result: Outcome) -> str:
    mark = "ok   " if result.said == result.expected else "WRONG"
    said = {True: "leak", False: "none", None: "error"}[result.said]
    rate = f"{result.bytes_per_step:8.1f}" if result.said else " " * 8
    known = f"({result.known_bytes_per_step:.0f})" if result.known_bytes_per_step else ""
    notes = "".join(
        f" {name}"
        for name in ("culprit_first", "culprit_named", "holder_named")
        if getattr(result, name) is False
    )
    wrong = f"  NOT{notes}" if notes else ""
    took = f"{result.seconds:6.1f} s ({result.cpu_seconds:5.1f} CPU)"
    return (
        f"{mark} {result.case:30} {result.variant:5} {said:5} {result.kind:6} {rate} {known:>8}"
        f" {took}  {result.culprit[-70:]}{wrong}{result.error}"
    )


if __name__ == "__main__":
    sys.exit(main())
