"""`heapwatch app`: its subcommands on the command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from heapwatch_app import command


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HEAPWATCH_APP_DATA", str(tmp_path))
    monkeypatch.setenv("HEAPWATCH_APP_PASSWORD_COST", "10")
    return tmp_path


def test_fault_shows_and_switches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parsed("fault", "cache", "on")) == 0
    assert command.run(parsed("fault")) == 0
    lines = capsys.readouterr().out.splitlines()
    states = [line.split()[1] for line in lines]
    assert states == ["on", "off", "on", "off"]
    assert command.run(parsed("fault", "nothing", "on")) == 2
    assert "known are listeners, cache, threadlocal" in capsys.readouterr().err


def test_routes_lists_the_site(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parsed("routes")) == 0
    assert "POST   /p/<int:post_id>/like                posts.like" in capsys.readouterr().out


def test_it_reads_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str], misfits: Callable[[Any, Any], list[str]]
) -> None:
    told = {}
    for words in (["fault", "cache", "on"], ["routes"], ["seed", "--users", "2", "--posts", "0"]):
        assert command.run(parsed(*words, "--json")) == 0
        told[words[0]] = json.loads(capsys.readouterr().out)
        assert misfits(command.SHAPES[words[0]], told[words[0]]) == []
    assert [(fault["name"], fault["on"]) for fault in told["fault"]] == [("cache", True)]
    like = {"methods": ["POST"], "path": "/p/<int:post_id>/like", "endpoint": "posts.like"}
    assert like in told["routes"]
    assert told["seed"]["users"] == 2


def test_seed_says_what_it_added(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parsed("seed", "--users", "3", "--posts", "2")) == 0
    assert "Added 3 people and 2 posts." in capsys.readouterr().out
    assert len(list((folder / "media").rglob("*.jpg"))) == 6


def test_serve_attaches_the_agent_unless_told_not_to() -> None:
    plain = command.gunicorn_command(parsed("serve", "--no-agent", "--workers", "3", "--threads", "5"))
    assert plain[1:4] == ["-m", "gunicorn", "heapwatch_app.web:create_app()"]
    assert plain[plain.index("--workers") + 1] == "3"
    assert plain[plain.index("--threads") + 1] == "5"
    # Above any pause between two requests of a person who fills in a form on a kept connection.
    assert float(plain[plain.index("--keep-alive") + 1]) > 60
    attached = command.gunicorn_command(parsed("serve"))
    assert attached[1:5] == ["-m", "heapwatch", "run", "--"]
    assert attached[5:] == command.gunicorn_command(parsed("serve", "--no-agent"))


@pytest.mark.parametrize(
    "words", [["load"], ["load", "--host", "x", "--users", "0"], ["fault", "cache", "maybe"], []]
)
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed(*words)
    assert stopped.value.code == 2


def test_the_command_line_needs_no_third_party_module() -> None:
    code = (
        "import sys, argparse; from heapwatch_app import command;"
        "command.configure(argparse.ArgumentParser());"
        "print(sorted({'flask', 'sqlalchemy', 'PIL', 'locust', 'gevent'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_web_application_never_meets_gevent(folder: Path) -> None:
    code = (
        "import sys; from heapwatch_app.web import create_app; create_app();"
        "print('gevent' in sys.modules, 'locust' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False False"
