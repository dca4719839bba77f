"""Processes of a service know of each other, and leave one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from heapwatch.defence.agent_check import answer, parse_address, weight
from heapwatch.defence.family import REMEMBERED, SPACING, Family, Member
from heapwatch_wire.config import ConfigError

CHECK = "127.0.0.1:9999"
HOLDER = """
import sys
from pathlib import Path
from heapwatch.defence.family import Family
print(Family(Path(sys.argv[1]), "shop").take_leave(), flush=True)
sys.stdin.read()
"""


def member(pid: int = 0, draining: bool = False, weight: int = 100) -> Member:
    return Member(pid or os.getpid(), CHECK, draining, weight, 0)


@pytest.fixture
def ended() -> int:
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_members_are_those_of_the_service_that_live(tmp_path: Path, ended: int) -> None:
    family = Family(tmp_path / "run", "shop")
    family.publish(member())
    family.publish(member(ended))
    Family(tmp_path / "run", "till").publish(member(1))
    assert family.members() == [member()]
    family.withdraw(os.getpid())
    assert family.members() == []


def test_who_is_silent_is_no_member_and_who_ended_long_ago_is_forgotten(tmp_path: Path, ended: int) -> None:
    Family(tmp_path / "run", "shop").publish(member())
    Family(tmp_path / "run", "shop").publish(member(ended))
    later = Family(tmp_path / "run", "shop", lambda: Path(tmp_path).stat().st_mtime + REMEMBERED + 60)
    assert later.members() == []
    assert [path.name.partition("-")[2] for path in (tmp_path / "run/defence").glob("*.json")] == [
        f"{os.getpid()}.json"
    ]


def test_files_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    family = Family(tmp_path / "run", "shop")
    family.publish(member())
    [path] = (tmp_path / "run/defence").glob("*.json")
    for number, text in enumerate(("", "{", "[]", '{"pid": 1}', "\0" * 9999)):
        path.with_name(path.name.replace(str(os.getpid()), f"9{number}")).write_text(text)
    assert family.members() == [member()]


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(OSError, match="only this user"):
        Family(tmp_path / "run", "shop")


def test_one_process_leaves_at_a_time(tmp_path: Path) -> None:
    family = Family(tmp_path / "run", "shop", lambda: begun)
    begun = (tmp_path / "run").stat().st_mtime
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert not family.take_leave()
        assert not family.take_leave(urgent=True)
        assert Family(tmp_path / "run", "till").take_leave(), "another service has its own"
    assert not family.take_leave(), "its successor has hardly begun"
    assert family.take_leave(urgent=True)


def test_after_a_while_the_next_may_go(tmp_path: Path) -> None:
    first = Family(tmp_path / "run", "shop")
    assert first.take_leave()
    first.stay()
    moved = (tmp_path / "run").stat().st_mtime + SPACING + 60
    assert Family(tmp_path / "run", "shop", lambda: moved).take_leave()


def test_the_balancer_hears_of_all_members() -> None:
    assert answer([]) == b"up ready 100%\n"
    assert answer([member(weight=40)]) == b"up ready 40%\n"
    assert answer([member(weight=40), member(weight=100)]) == b"up ready 70%\n"
    assert answer([member(draining=True), member(weight=100)]) == b"up ready 50%\n"
    assert answer([member(draining=True)]) == b"drain\n"
    assert answer([member(weight=0)]) == b"up ready 1%\n", "0% would be a drain that nobody meant"


def test_until_a_successor_serves_the_balancer_hears_drain(tmp_path: Path, ended: int) -> None:
    family = Family(tmp_path / "run", "shop")
    assert not family.bereft(CHECK)
    family.publish(member(ended, draining=True))
    assert family.bereft(CHECK)
    assert not family.bereft("127.0.0.1:1")
    assert answer([], bereft=True) == b"drain\n"
    assert answer([member()], bereft=True) == b"up ready 100%\n"


def test_weight_follows_the_headroom() -> None:
    assert [weight(used, 0.75, 0.9) for used in (0.1, 0.75, 0.825, 0.9, 2.0)] == [100, 100, 55, 10, 10]


@pytest.mark.parametrize(
    "text", ["9999", ":9999", "localhost", "localhost:", "localhost:x", "h:0", "h:70000"]
)
def test_an_address_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        parse_address(text)


def test_an_address_may_be_of_ip_version_6() -> None:
    assert parse_address("[::1]:9999") == ("::1", 9999)
