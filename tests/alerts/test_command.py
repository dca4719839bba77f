"""`heapwatch alerts`: the files it writes and the mistakes it explains."""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from heapwatch_alerts import command
from heapwatch_alerts.rules import RULES
from heapwatch_alerts.runbooks import index


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HEAPWATCH_COLLECTOR", "HEAPWATCH_TOKEN", "HEAPWATCH_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


def test_writes_the_rules_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    words = ["--collector", "http://memory.example:4040", "--runbooks", "https://books.example/"]
    assert run("rules", "-o", str(file), *words) == 0
    (group,) = yaml.safe_load(file.read_text())["groups"]
    assert [row["alert"] for row in group["rules"]] == [rule.alert for rule in RULES]
    critical = next(row for row in group["rules"] if row["alert"] == "HeapwatchMemoryCritical")
    assert critical["for"] == "2m"
    assert critical["labels"] == {"severity": "critical"}
    assert critical["expr"].endswith("> 0.85")
    assert critical["annotations"]["runbook_url"] == "https://books.example/memory-critical.md"
    assert critical["annotations"]["evidence_url"].startswith("http://memory.example:4040/#/services/")


def test_links_use_the_address_that_people_reach(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rules", "--collector", "http://10.0.0.7:4040", "--evidence", "https://memory.example") == 0
    said = capsys.readouterr().out
    assert "https://memory.example/#/services/" in said
    assert "10.0.0.7" not in said


def test_writes_a_prometheus_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prometheus", "--collector", "http://memory:4040", "--token", "s3cret") == 0
    document = yaml.safe_load(capsys.readouterr().out)
    (job,) = document["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["memory:4040"]}]
    assert job["honor_labels"] is True
    assert job["authorization"] == {"credentials": "s3cret"}


def test_writes_an_alertmanager_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("alertmanager", "--webhook", "http://chat.example/hook") == 0
    document = yaml.safe_load(capsys.readouterr().out)
    urls = {w["url"] for r in document["receivers"] for w in r.get("webhook_configs", ())}
    assert urls == {"http://chat.example/hook"}


def test_lists_the_rules_and_what_they_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.alert for rule in RULES]
    (cache,) = [line for line in lines if line.startswith("HeapwatchCacheMisses")]
    assert cache.endswith("needs app.cache.lookups")


def test_writes_the_index_of_runbooks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("runbooks") == 0
    assert capsys.readouterr().out == index()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
def test_checks_the_rules_with_promtool(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0
    assert f"{len(RULES)} rules found" in capfd.readouterr().out


def test_says_that_promtool_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("check") == 1
    assert "promtool is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--webhook", "chat.example"], "webhook='chat.example': expected an address"),
        (["run", "--collector", "file:///etc/passwd"], "collector='file:///etc/passwd': expected an address"),
        (["run", "--evaluation-interval", "soon"], "evaluation_interval='soon': expected a duration"),
    ],
)
def test_a_wrong_setting_is_explained(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    assert said in capsys.readouterr().err


def test_reads_heapwatch_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "heapwatch.toml").write_text('[alerts]\nrunbooks = "https://books.example"\n')
    assert run("rules") == 0
    assert "https://books.example/memory-high.md" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["list", "rules", "prometheus", "alertmanager"])
def test_prints_json_of_the_shape_that_helps_show(
    action: str, capsys: pytest.CaptureFixture[str], misfits: Callable[[Any, Any], list[str]]
) -> None:
    assert run(action, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told
    assert misfits(command.SHAPES[action], told) == []


def test_rules_are_the_same_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    documents = [
        (run("rules", *words), yaml.safe_load(capsys.readouterr().out)) for words in ([], ["--json"])
    ]
    assert documents[0] == documents[1]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
def test_promtools_verdict_reads_as_json(
    capsys: pytest.CaptureFixture[str], misfits: Callable[[Any, Any], list[str]]
) -> None:
    assert run("check", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert misfits(command.SHAPES["check"], told) == []
    assert told["accepted"]
    assert any(f"{len(RULES)} rules found" in line for line in told["said"])


@pytest.mark.integration
def test_events_are_a_line_of_json_each(
    heapwatch: list[str],
    spawn: Any,
    receiver: Any,
    wait_until: Any,
    misfits: Callable[[Any, Any], list[str]],
) -> None:
    receiver.page = (
        'heapwatch_leak_growth_bytes_per_second{service="shop",version="1",heapwatch_site="5f",'
        'code_function_name="load",code_file_path="a.py",code_line_number="3"} 7.0\n'
    )
    words = ["alerts", "run", "--json", "--collector", receiver.url, "--evaluation-interval", "1"]
    child = spawn(*heapwatch, *words)
    fired = json.loads(child.wait_line('"event": "firing"'))
    assert misfits(command.SHAPES["run"], fired) == []
    assert fired["alert"]["labels"]["alertname"] == "HeapwatchMemoryLeak"
    receiver.page = ""
    assert json.loads(child.wait_line('"event": "resolved"'))["alert"]["status"] == "resolved"


@pytest.mark.integration
def test_runs_until_told_to_stop(heapwatch: list[str], spawn: Any, free_port: Any, wait_until: Any) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    child = spawn(*heapwatch, "alerts", "run", "--collector", address, "--evaluation-interval", "1")
    child.wait_line("alerts are only printed")
    child.wait_line("not read: ")
    assert child.stop() == 0
    assert "stopped after" in child.output


def test_the_command_module_needs_no_extra() -> None:
    check = (
        "import heapwatch_alerts.command, sys; "
        "print({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", check], capture_output=True, text=True, check=True)
    third = {name for name in ast.literal_eval(done.stdout) if not name.startswith(("_", "heapwatch"))}
    assert third == set()
