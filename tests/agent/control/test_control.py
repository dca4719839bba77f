"""The control socket: what it answers, whom, and how it bears bad clients."""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from heapwatch.agent import Agent
from heapwatch.control.client import Client, ControlError, workers
from heapwatch.control.paths import UnsafeFolder, make_folder, runtime_folder, search_folders
from heapwatch.control.protocol import MAX_REQUEST, ProtocolError, decode
from heapwatch.control.server import ControlServer
from heapwatch.failures import Failures
from heapwatch.identity import identify
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.sampler import Row
from heapwatch_wire import pprof
from heapwatch_wire.settings import AgentSettings
from heapwatch_wire.sites import Frame, site_id
from hypothesis import given
from hypothesis import strategies as st

FEED = Frame("remember", "/srv/shop/feed.py", 88)


@pytest.fixture
def agent(sampler: Any, tmp_path: Path) -> Agent:
    """An agent that isn't started: only what the control server asks of it."""
    sampler.rows = [Row(1, (FEED,), False, 0, "main", 10.0, 5000.0, 20.0, 9000.0)]
    sampler.statistics = {"interval": 65536, "live_bytes": 5000, "live_objects": 10}
    settings = AgentSettings(service="shop", runtime_dir=str(tmp_path / "run"))
    identity = identify(settings)
    return Agent(settings, identity, sampler, LeakTracker(sampler, settings, identity), Failures())


@pytest.fixture
def server(agent: Agent) -> Iterator[ControlServer]:
    control = ControlServer(agent)
    control.start()
    yield control
    control.stop()


@pytest.fixture
def client(agent: Agent, server: ControlServer) -> Client:
    return Client(agent.settings.runtime_dir, timeout=300)


def exchange(server: ControlServer, sent: bytes) -> dict[str, Any]:
    """What the server answers to raw bytes."""
    assert server.path is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(300)
        connection.connect(str(server.path))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return dict(json.loads(answer))


def test_the_socket_is_for_its_owner_only(server: ControlServer) -> None:
    assert server.path is not None
    assert server.path.name == f"{os.getpid()}.sock"
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700


def test_info_says_who_the_process_is(client: Client) -> None:
    answer = client.call(os.getpid(), "info")
    assert (answer["pid"], answer["service"], answer["live_bytes"]) == (os.getpid(), "shop", 5000)
    assert answer["rss"] > 1 << 20
    assert answer["uptime"] >= 0


def test_top_lists_sites(client: Client) -> None:
    (site,) = client.call(os.getpid(), "top", limit=5)["sites"]
    assert site == {
        "id": site_id(FEED),
        "function": "remember",
        "file": "/srv/shop/feed.py",
        "line": 88,
        "live_bytes": 5000.0,
        "live_objects": 10.0,
        "alloc_bytes": 9000.0,
        "alloc_objects": 20.0,
        "inherited_bytes": 0.0,
        "growth": 0.0,
    }


def test_a_snapshot_is_a_pprof(client: Client) -> None:
    profile = pprof.decode(base64.b64decode(client.call(os.getpid(), "snapshot")["pprof"]))
    assert [(s.stack, s.values) for s in profile.samples] == [((FEED,), (20, 9000, 10, 5000))]


def test_the_collector_of_garbage_can_be_asked_to_work(client: Client) -> None:
    answer = client.call(os.getpid(), "gc", action="collect")
    assert answer["collected"] >= 0
    assert len(answer["generations"]) == 3
    assert "collected" not in client.call(os.getpid(), "gc")


def test_sampling_pauses_and_goes_on(client: Client, agent: Agent, sampler: Any) -> None:
    assert client.call(os.getpid(), "pause")["interval"] == 65536
    assert not sampler.running
    client.call(os.getpid(), "resume")
    assert sampler.running


def test_trim_reports_what_it_gave_back(client: Client) -> None:
    answer = client.call(os.getpid(), "trim")
    assert answer["rss"] > 0
    assert answer["seconds"] >= 0


def test_leaks_and_holders_answer(client: Client) -> None:
    assert client.call(os.getpid(), "leaks")["documents"] == []
    answer = client.call(os.getpid(), "holders", site=site_id(FEED))
    assert (answer["site"]["line"], answer["holders"]) == (88, [])
    assert "no sampled block" in answer["reasons"][0]


@pytest.mark.parametrize(
    ("method", "params", "text"),
    [
        ("nonsense", {}, "unknown method"),
        ("top", {"limit": 0}, "limit=0"),
        ("top", {"limit": "many"}, "limit='many'"),
        ("top", {"limit": True}, "limit=True"),
        ("holders", {}, "needs a site"),
        ("holders", {"site": "0" * 16}, "no live samples of a site"),
        ("gc", {"action": "explode"}, "unknown action"),
    ],
)
def test_what_cannot_be_served_is_explained(
    client: Client, agent: Agent, method: str, params: dict[str, Any], text: str
) -> None:
    with pytest.raises(ControlError, match=text) as caught:
        client.call(os.getpid(), method, **params)
    assert caught.value.mend
    assert agent.failures.counts == {}


def test_without_samples_the_rest_works(client: Client, sampler: Any) -> None:
    sampler.reason = "PYTHONMALLOC=malloc"
    with pytest.raises(ControlError, match="no samples: PYTHONMALLOC=malloc"):
        client.call(os.getpid(), "top")
    assert client.call(os.getpid(), "info")["reason"] == "PYTHONMALLOC=malloc"


def test_a_failing_handler_is_counted_and_the_next_request_served(client: Client, agent: Agent) -> None:
    agent.sampler.profile = lambda take: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ControlError, match="ZeroDivisionError"):
        client.call(os.getpid(), "snapshot")
    assert agent.failures.counts["control"] == 1
    assert client.call(os.getpid(), "info")["service"] == "shop"


@pytest.mark.parametrize(
    "sent",
    [b"", b"\n", b"no json\n", b"[1]\n", b'"text"\n', b"{" * 5000 + b"\n", b"\xff\xfe\n", b'{"method": 3}\n',
     b'{"method": "top", "params": [1]}\n', b'{"method": "top"'],
)  # fmt: skip
def test_bad_bytes_get_an_error(server: ControlServer, client: Client, sent: bytes) -> None:
    assert "error" in exchange(server, sent)
    assert client.call(os.getpid(), "info")["service"] == "shop"


def test_an_endless_request_is_cut_off(server: ControlServer) -> None:
    assert str(MAX_REQUEST) in exchange(server, b"x" * (MAX_REQUEST + 1))["error"]


def test_a_client_that_leaves_is_no_failure(server: ControlServer, client: Client, agent: Agent) -> None:
    assert server.path is not None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))
    assert client.call(os.getpid(), "info")["service"] == "shop"
    assert agent.failures.counts == {}


@given(st.binary(max_size=200))
def test_any_line_is_a_message_or_an_error(line: bytes) -> None:
    try:
        message = decode(line)
    except ProtocolError:
        return
    assert isinstance(message, dict)


def test_stop_takes_the_socket_away_and_start_brings_it_back(agent: Agent) -> None:
    control = ControlServer(agent)
    control.start()
    path = control.path
    assert path is not None
    control.stop()
    control.stop()
    assert not path.exists()
    control.start()
    assert path.exists()
    control.stop()


def test_a_socket_left_by_a_dead_process_is_replaced(agent: Agent, server: ControlServer) -> None:
    assert server.path is not None
    path = server.path
    server.stop()
    path.write_bytes(b"")
    server.start()
    assert Client(agent.settings.runtime_dir).call(os.getpid(), "info")["service"] == "shop"


def test_a_path_longer_than_a_socket_address_works(sampler: Any, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    settings = AgentSettings(service="far", runtime_dir=str(folder))
    identity = identify(settings)
    agent = Agent(settings, identity, sampler, LeakTracker(sampler, settings, identity), Failures())
    control = ControlServer(agent)
    control.start()
    try:
        assert Client(str(folder)).call(os.getpid(), "info")["service"] == "far"
    finally:
        control.stop()


def test_a_forked_child_leaves_the_parents_socket_alone(server: ControlServer, client: Client) -> None:
    pid = os.fork()
    if pid == 0:
        server.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert client.call(os.getpid(), "info")["pid"] == os.getpid()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UnsafeFolder, match="HEAPWATCH_RUNTIME_DIR"):
        make_folder(folder)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"link|File exists"):
        make_folder(link)


def test_where_sockets_are(tmp_path: Path) -> None:
    assert runtime_folder("/given", {}) == Path("/given")
    assert runtime_folder("", {"XDG_RUNTIME_DIR": "/run/user/7"}) == Path("/run/user/7/heapwatch")
    assert runtime_folder("", {}).name == f"heapwatch-{os.getuid()}"
    assert Path("/run/user/7/heapwatch") in search_folders("", 7, {})


def test_agents_are_found_and_dead_sockets_taken_away(client: Client, agent: Agent) -> None:
    dead = Path(agent.settings.runtime_dir) / "4194305.sock"  # Above the kernel's largest pid.
    dead.write_bytes(b"")
    (dead.parent / "notes.txt").write_bytes(b"")
    assert client.agents() == [os.getpid()]
    assert not dead.exists()


def test_a_process_stands_for_its_descendants(client: Client) -> None:
    assert client.family(os.getpid()) == [os.getpid()]
    assert os.getpid() in client.family(os.getppid())


def test_a_process_whose_children_work_is_no_worker() -> None:
    assert workers([os.getpid(), os.getppid()]) == {os.getpid()}
    assert workers([os.getppid()]) == {os.getppid()}


def test_who_is_not_there_is_told_apart(client: Client) -> None:
    with pytest.raises(ControlError, match="there is no process 4194305") as gone:
        client.call(4194305, "info")
    assert "heapwatch ps" in gone.value.mend
    with pytest.raises(ControlError, match="has no Heapwatch agent") as bare:
        Client("/nonexistent").call(os.getppid(), "info")
    assert "heapwatch run --" in bare.value.mend
