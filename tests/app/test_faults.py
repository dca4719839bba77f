"""The switchable faults: each leaks as its catalogue entry says, and nothing leaks while all are off."""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from heapwatch_app.events import BUS
from heapwatch_app.faults import FAULTS, Fault, cache, threadlocal
from heapwatch_app.faults.switches import POLL, Switches
from heapwatch_app.settings import AppSettings

Person = Any

PATHS = {
    "GET /feed": "/feed",
    "GET /explore": "/explore",
    "GET /u/<username>": "/u/ann",
    "GET /p/<int:post_id>": "/p/1",
    "GET /search": "/search?q=a",
}
REQUESTS = 25

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)


@pytest.fixture
def reader(seeded: None, app: Flask, person: Callable[[str], Person]) -> Iterator[Person]:
    """A user with a full feed; what the faults have kept is dropped afterwards."""
    ann = person("ann")
    for name in dict.fromkeys(re.findall(r'class="person" href="/u/([\w.]+)"', ann.text("/feed"))):
        ann.send(f"/u/{name}/follow")
    yield ann
    BUS._listeners.pop("post.deleted", None)
    cache.PAGES.clear()
    threadlocal.TRAIL.records.clear()


@pytest.fixture
def switches(app: Flask) -> Switches:
    found: Switches = app.extensions["faults"]
    return found


def growth(ask: Callable[[], Any], requests: int = REQUESTS) -> list[tracemalloc.Statistic]:
    """What `requests` calls of `ask` leave behind, by line, the largest first."""
    for _ in range(5):
        ask()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(requests):
            ask()
        gc.collect()
        return list(tracemalloc.take_snapshot().statistics("lineno"))
    finally:
        tracemalloc.stop()


def main_path(fault: Fault) -> str:
    """The busiest route that leaks by `fault`."""
    return next(PATHS[endpoint] for endpoint in fault.endpoints if endpoint in PATHS)


@each_fault
def test_a_fault_leaks_at_the_line_and_the_rate_of_its_catalogue_entry(
    fault: Fault, reader: Person, switches: Switches
) -> None:
    switches.set(fault.name, True)
    found = growth(lambda: reader.text(main_path(fault)))
    # A table that is enlarged once is a single block, perhaps larger than a small leak of so few requests.
    found = [line for line in found if line.count >= REQUESTS // 2]
    frame = found[0].traceback[0]
    assert frame.filename.endswith(fault.file)
    assert frame.lineno in fault.lines()
    per_request = found[0].size / REQUESTS
    assert fault.bytes_per_request / 2 < per_request < fault.bytes_per_request * 2


@each_fault
def test_a_fault_that_is_off_leaves_nothing(fault: Fault, reader: Person, switches: Switches) -> None:
    switches.set(fault.name, True)
    reader.text(main_path(fault))
    switches.set(fault.name, False)
    found = growth(lambda: reader.text(main_path(fault)))
    assert [line for line in found if line.traceback[0].filename.endswith(fault.file)] == []


def test_nothing_grows_while_all_are_off(reader: Person) -> None:
    rounds = 8

    def grown() -> int:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(rounds):
            for path in PATHS.values():
                reader.text(path)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        grown()
        # A leak grows in each; a cache or a table that is enlarged once only in one.
        least = min(grown() for _ in range(4))
    finally:
        tracemalloc.stop()
    assert least / (rounds * len(PATHS)) < 300


@each_fault
def test_leaked_objects_are_of_the_named_type_and_held_by_the_named_holder(
    fault: Fault, reader: Person, switches: Switches
) -> None:
    def held() -> list[Any]:
        holders: dict[str, Callable[[], list[Any]]] = {
            "heapwatch_app.events.BUS": lambda: [
                card
                for listener in BUS._listeners.get("post.deleted", ())
                for card in listener.__self__.cards  # type: ignore[attr-defined]
            ],
            "heapwatch_app.faults.cache.PAGES": lambda: list(cache.PAGES.values()),
            "heapwatch_app.faults.threadlocal.TRAIL": lambda: list(threadlocal.TRAIL.records),
        }
        return holders[fault.holder]()

    switches.set(fault.name, True)
    before = len(held())
    for _ in range(3):
        reader.text(main_path(fault))
    assert len(held()) >= before + 3
    assert {type(kept).__name__ for kept in held()} == {fault.type}


@each_fault
def test_users_see_no_difference(fault: Fault, reader: Person, switches: Switches) -> None:
    def pages() -> list[str]:
        return [re.sub(r'csrf_token" value="[^"]+"', "", reader.text(path)) for path in PATHS.values()]

    off = pages()
    switches.set(fault.name, True)
    assert pages() == off


@each_fault
def test_a_deleted_post_is_gone_while_a_fault_is_on(
    fault: Fault, reader: Person, switches: Switches, photo: bytes
) -> None:
    switches.set(fault.name, True)
    post = reader.posts(photo)
    assert f"/p/{post}" in reader.text("/feed")
    assert reader.send(f"/p/{post}/delete").status_code == 302
    for path in ("/feed", "/explore", "/u/ann"):
        assert f'"/p/{post}"' not in reader.text(path)


def test_the_catalogue_names_routes_of_the_site(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    without_database = {
        "GET /healthz",
        "GET /media/<name>/<int:size>.jpg",
        "GET /static/<path:filename>",
        "GET /admin/faults",
        "POST /admin/faults/<name>",
    }
    for fault in FAULTS.values():
        assert set(fault.endpoints) <= routes
    assert set(FAULTS["threadlocal"].endpoints) == routes - without_database


@each_fault
def test_the_catalogue_finds_lines_in_the_source(fault: Fault) -> None:
    assert len(fault.lines()) == 1
    source = Path(cache.__file__).parents[2] / fault.file
    text = source.read_text().splitlines()[fault.lines()[0] - 1]
    assert fault.statement in text


def test_a_switch_reaches_other_processes_within_a_poll(tmp_path: Path) -> None:
    time = [0.0]
    here, there = Switches(tmp_path / "faults.json"), Switches(tmp_path / "faults.json", lambda: time[0])
    assert not there.on("cache")
    here.set("cache", True)
    here.set("listeners", True)
    assert not there.on("cache")
    time[0] += POLL
    assert there.on("cache")
    here.set("cache", False)
    time[0] += POLL
    assert not there.on("cache")
    assert there.on("listeners")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"cache": true}', '["unknown"]', "\0\xff"])
def test_an_unreadable_switch_file_means_off(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(content)
    assert Switches(path).read() == frozenset()


def test_there_is_no_switch_for_an_unknown_fault(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Switches(tmp_path / "faults.json").set("unknown", True)


def test_a_fault_switches_itself_in_a_file(tmp_path: Path) -> None:
    FAULTS["cache"].switch(tmp_path / "faults.json", on=True)
    assert Switches(tmp_path / "faults.json").on("cache")


def test_the_operator_on_this_machine_switches_over_http(visitor: Person) -> None:
    answer = visitor.client.post("/admin/faults/cache", data={"state": "on"})
    assert answer.json == {"listeners": False, "cache": True, "threadlocal": False}
    assert visitor.open("/admin/faults").json["cache"] is True


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("10.0.0.7", {}),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}),
        ("127.0.0.1", {"Forwarded": "for=10.0.0.7"}),
        ("", {}),
    ],
)
def test_others_may_not_switch(visitor: Person, address: str, headers: dict[str, str]) -> None:
    answer = visitor.client.post(
        "/admin/faults/cache",
        data={"state": "on"},
        headers=headers,
        environ_overrides={"REMOTE_ADDR": address},
    )
    assert answer.status_code == 403


def test_a_token_opens_the_switches_from_anywhere_and_closes_them_here(
    make_app: Callable[[AppSettings], Flask], settings: AppSettings
) -> None:
    client = make_app(AppSettings(app_data=settings.app_data, app_admin_token="key")).test_client()  # noqa: S106
    assert client.get("/admin/faults").status_code == 403
    assert client.get("/admin/faults", headers={"Authorization": "Bearer wrong"}).status_code == 403
    right = {"Authorization": "Bearer key"}
    away = {"REMOTE_ADDR": "10.0.0.7"}
    assert client.get("/admin/faults", headers=right, environ_overrides=away).status_code == 200


@pytest.mark.parametrize(("name", "state"), [("unknown", "on"), ("cache", "maybe"), ("cache", "")])
def test_a_wrong_switch_says_what_is_allowed(visitor: Person, name: str, state: str) -> None:
    answer = visitor.client.post(f"/admin/faults/{name}", data={"state": state})
    assert answer.status_code == 400
    assert "state=on or state=off for one of: listeners, cache, threadlocal" in answer.text
