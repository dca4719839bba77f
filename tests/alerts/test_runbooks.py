"""The table of rules, the runbook pages and the commands that they name agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from heapwatch.cli.parser import main
from heapwatch_alerts.rules import RULES, Rule
from heapwatch_alerts.runbooks import index
from heapwatch_wire import thresholds
from heapwatch_wire.config import rows, variable
from heapwatch_wire.settings import SECTIONS as TABLES
from heapwatch_wire.thresholds import Threshold

PAGES = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
SECTIONS = ["Look first", "Do next", "Safe in an emergency", "So that it does not come back"]


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert {file.name for file in PAGES.iterdir()} == {"README.md", *(rule.page for rule in RULES)}


def test_the_index_is_up_to_date() -> None:
    written = (PAGES / "README.md").read_text()
    assert written == index(), "make it again: heapwatch alerts runbooks -o docs/runbooks/README.md"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_page_answers_the_four_questions(rule: Rule) -> None:
    text = (PAGES / rule.page).read_text()
    title, *sections = re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]
    assert title.splitlines()[0] == rule.alert
    assert len(title.splitlines()) > 2, "it does not say what the alert means"
    assert [section.splitlines()[0] for section in sections] == SECTIONS
    assert all(len(section.splitlines()) > 1 for section in sections)


def test_every_command_in_rules_and_pages_exists(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [file.read_text() for file in PAGES.iterdir()] + [rule.action for rule in RULES]
    named = {
        found
        for text in texts
        for found in re.findall(r"heapwatch (alerts [a-z]+|[a-z]+)((?: [^`,.;:)]*)?)", text)
    }
    commands = {command for command, _ in named}
    assert len(commands) > 5
    for command in sorted(commands):
        with pytest.raises(SystemExit) as left:
            main([*command.split(), "--help"])
        said = capsys.readouterr()
        assert left.value.code == 0, f"heapwatch {command}: {said.err}"
        for flag in {f for c, rest in named if c == command for f in re.findall(r"(?<!\w)--?[a-z-]+", rest)}:
            assert re.search(rf"(?<![\w-]){flag}\b", said.out), f"heapwatch {command} has no {flag}"


def test_every_setting_in_pages_exists() -> None:
    known = {variable(name) for table in TABLES.values() for name, _ in rows(table)}
    named = {name for file in PAGES.iterdir() for name in re.findall(r"HEAPWATCH_[A-Z_]+", file.read_text())}
    assert named
    assert named <= known


def test_every_threshold_is_judged_by_a_rule() -> None:
    judged = [rule.threshold for rule in RULES]
    for value in vars(thresholds).values():
        if isinstance(value, Threshold):
            assert value in judged


def test_rules_that_wait_for_the_services_own_metrics_say_so() -> None:
    waiting = {rule.name for rule in RULES if rule.needs}
    assert waiting == {"CacheMisses", "DatabaseConnections", "StorageFilling"}
    for name in waiting:
        page = next(rule.page for rule in RULES if rule.name == name)
        assert "has to send itself" in (PAGES / page).read_text()
