"""What runs with and without the sampler are judged to mean; every recorded difference is explained."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.safety.runs import BARE, INERT, WHOLE, Outcome, Records, Suite, judge, run
from tests.safety.summary import summarize, table

HERE = Path(__file__).parent


def outcome(setting: str, status: str = "passed", **tests: str) -> Outcome:
    return Outcome("part", setting, status, 1.0, tests)


def test_equal_runs_are_the_same() -> None:
    runs = [
        outcome(BARE, "failed", a="passed", b="failed"),
        outcome("1024", "failed", a="passed", b="failed"),
    ]
    assert judge(runs, "1024").kind == "same"


def test_what_only_ever_passes_without_us_is_lost_to_the_sampler() -> None:
    runs = [
        outcome(BARE, a="passed", b="passed"),
        outcome("1024", "failed", a="passed", b="failed"),
        outcome(INERT, a="passed", b="passed"),
        outcome(BARE, a="passed", b="passed"),
        outcome("1024", "failed", a="passed"),
    ]
    verdict = judge(runs, "1024")
    assert (verdict.kind, verdict.lost) == ("sampler", (WHOLE, "b"))


def test_what_fails_with_an_inert_start_up_file_too_is_not_the_samplers_fault() -> None:
    runs = [
        outcome(BARE, a="passed"),
        outcome("1024", "failed", a="failed"),
        outcome(INERT, "failed", a="failed"),
    ]
    assert judge(runs, "1024").kind == "start-up file"


def test_what_passes_once_with_us_is_flaky() -> None:
    runs = [outcome(BARE, a="passed"), outcome("1024", "failed", a="failed"), outcome("1024", a="passed")]
    assert judge(runs, "1024").kind == "flaky"


@pytest.mark.parametrize("status", ["killed by SIGSEGV", "timed out", "not sampled"])
def test_a_crash_is_a_loss_even_when_no_test_is(status: str) -> None:
    verdict = judge([outcome(BARE, a="passed"), outcome("1024", status, a="passed")], "1024")
    assert (verdict.kind, verdict.lost) == ("sampler", (WHOLE,))


def test_records_are_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(path).add(outcome(BARE, a="passed"))
    assert Records(path).of("part", BARE) == [outcome(BARE, a="passed")]
    assert Records(path, fresh=True).outcomes == []


@pytest.mark.parametrize(
    ("code", "status"),
    [("pass", "skipped"), ("1/0", "failed"), ("import os; os.abort()", "killed by SIGABRT")],
)
def test_a_run_says_how_the_child_ended(tmp_path: Path, code: str, status: str) -> None:
    (tmp_path / "thing.py").write_text(code)
    suite = Suite("name", sys.executable, "thing", lambda part, junit: [], ["part"], directory=tmp_path)
    assert run(suite, "part", BARE, tmp_path, limit=240).status == status


@pytest.mark.parametrize("path", sorted(HERE.glob("passes/*.json")), ids=lambda path: path.stem)
def test_every_recorded_difference_is_explained(path: Path) -> None:
    recorded = json.loads(path.read_text())
    assert [test for tests in recorded["differs"].values() for test, why in tests.items() if not why] == []
    assert recorded["samples"] > 0


def test_a_run_of_some_parts_adds_to_what_is_recorded_of_others(tmp_path: Path) -> None:
    (tmp_path / "differences.toml").write_text("")
    suite = Suite("name", sys.executable, "thing", lambda part, junit: [], [])

    def recorded(part: str, status: str) -> dict[str, Any]:
        records = Records(tmp_path / f"{part}-{status}.jsonl", fresh=True)
        for setting in (BARE, "1024"):
            ended = "passed" if setting == BARE else status
            records.add(Outcome(part, setting, ended, 1.0, {"a": ended}, {"samples": 7}))
        summarize(suite, "1024", records, tmp_path)
        found: dict[str, Any] = json.loads((tmp_path / "passes" / "name-1024.json").read_text())
        return found

    recorded("first", "passed")
    for _ in range(2):
        both = recorded("second", "passed")
        assert (both["passes"], both["samples"]) == ({"first": 1, "second": 1}, 14)
    worse = recorded("first", "failed")
    assert (list(worse["passes"]), list(worse["differs"])) == (["second"], ["first"])


def test_the_table_has_a_row_for_each_file_of_results(tmp_path: Path) -> None:
    recorded = {
        "suite": "name",
        "interval": 1,
        "tests passed": 1234,
        "samples": 5678,
        "passes": {"a": 1200, "b": 34},
        "differs": {"c": {"first": "why", "second": "why"}},
        "fails without us": {"b": ["third"]},
    }
    (tmp_path / "name-1.json").write_text(json.dumps(recorded))
    assert list(table(tmp_path))[2:] == ["| name | 1 | 3 | 1,234 | 5,678 | 2 | 1 |"]
