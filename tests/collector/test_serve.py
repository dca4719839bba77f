"""The collector as a process: what it acknowledges survives, and it starts, refuses and stops as it says."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

FRAMES = (("keep", "/srv/a.py", 1), ("main", "/srv/a.py", 9))
Start = Callable[..., tuple[Any, Any]]


def pushes(client: Any, service: str) -> int:
    """How many deliveries of `service` are stored."""
    sites = client.get(f"/api/v1/services/{service}/sites")["sites"]
    return sum(len(points) for site in sites for points in site["instances"].values())


def allocated(client: Any, service: str) -> int:
    now = int(time.time() * 1000)
    graph = client.ask(
        "SelectMergeStacktraces",
        profileTypeID="memory:alloc_objects:count:space:bytes",
        labelSelector=f'{{service_name="{service}"}}',
        start=str(now - 3_600_000),
        end=str(now + 60_000),
    )["flamegraph"]
    return int(graph.get("total", 0))


def test_what_was_acknowledged_survives_kill_9(
    start_collector: Start, make_profile: Any, wait_until: Any, tmp_path: Path
) -> None:
    client, process = start_collector("--commit-interval", "0.02")
    acknowledged = []
    base = time.time() - 600

    def send(sender: int) -> None:
        for i in range(1000):
            try:
                client.push(
                    make_profile([(FRAMES, (1, 10, 1, 10), {})], base + i * 0.5 + sender * 0.1),
                    service_name="durable",
                )
            except (OSError, http.client.HTTPException):
                return
            acknowledged.append((sender, i))

    senders = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for sender in senders:
        sender.start()
    wait_until(lambda: len(acknowledged) >= 20, what="20 acknowledged pushes")
    os.kill(process.pid, signal.SIGKILL)
    for sender in senders:
        sender.join()
    assert process.process.wait() == -signal.SIGKILL
    again, _ = start_collector()
    # At most the pushes under way at the kill may be stored without having been acknowledged.
    assert len(acknowledged) <= pushes(again, "durable") <= len(acknowledged) + len(senders)
    assert len(acknowledged) <= allocated(again, "durable") <= len(acknowledged) + len(senders)


def test_a_restart_keeps_everything_and_stops_cleanly(
    start_collector: Start, make_profile: Any, make_metrics: Any
) -> None:
    client, process = start_collector()
    client.push(make_profile([(FRAMES, (1, 10, 1, 10), {})]), service_name="kept")
    client.post(
        "/v1/metrics", make_metrics({"process.memory.usage": 5.0}, service="kept"), "application/x-protobuf"
    )
    before = client.get("/api/v1/services")
    assert process.stop() == 0
    assert [line for line in process.lines if "ERROR" in line or "Traceback" in line] == []
    again, _ = start_collector("--retention", "2d")
    assert again.get("/api/v1/services") == before
    assert pushes(again, "kept") == 1


def test_sigterm_answers_what_is_under_way(start_collector: Start, make_profile: Any, make_push: Any) -> None:
    client, process = start_collector("--commit-interval", "2")
    body = make_push(make_profile([(FRAMES, (1, 10, 1, 10), {})]), service_name="late")
    connection = http.client.HTTPConnection(client.address, timeout=300)
    connection.request("POST", "/push.v1.PusherService/Push", body, {"Content-Type": "application/proto"})
    # The push has been read once its bytes show as pending.
    deadline = time.monotonic() + 120
    while b"pending_bytes 0.0" in client.request("GET", "/metrics").body:
        assert time.monotonic() < deadline
    process.process.send_signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    connection.close()
    assert process.process.wait(240) == 0
    again, _ = start_collector()
    assert pushes(again, "late") == 1


def test_a_second_process_on_the_folder_is_refused(
    start_collector: Start, heapwatch: list[str], tmp_path: Path
) -> None:
    _, process = start_collector()
    command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.splitlines()[-1] == (
        f"heapwatch serve: {tmp_path / 'data'} is in use by process {process.pid}: "
        "stop that collector, or choose another folder with --data"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--listen", "0.0.0.0:0"), "can be reached from other machines: set HEAPWATCH_TOKEN"),
        (("--listen", "localhost"), "expected HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "expected HOST:PORT"),
        (("--max-body", "lots"), "max_body='lots': expected a size in bytes"),
        (("--data", "/proc/nothing"), "choose a folder that can be written with --data"),
        (
            ("--data", "http://me:secret@127.0.0.1:9"),
            "the store at http://127.0.0.1:9 can't be opened: check --data",
        ),
    ],
)
def test_a_start_that_can_not_be(
    heapwatch: list[str], tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_folder_that_holds_something_else(heapwatch: list[str], tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a database", encoding="utf-8")
    command = [*heapwatch, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert f"the store at {tmp_path} can't be opened: check --data" in done.stderr


def test_a_token_guards_everything_but_health_and_the_page(start_collector: Start) -> None:
    client, process = start_collector(env={"HEAPWATCH_TOKEN": "s3cret"})
    assert process.lines[0].startswith("listening on http://127.0.0.1:")
    for path in ("/healthz", "/readyz", "/"):
        assert client.request("GET", path).status == 200, path
    for method, path in (
        ("GET", "/api/v1/services"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/push.v1.PusherService/Push"),
        ("POST", "/v1/metrics"),
        ("POST", "/querier.v1.QuerierService/ProfileTypes"),
    ):
        for token in ("", "Bearer wrong", "Bearer s3cre", "Basic s3cret", "Bearer s3cr\xe9t"):
            answer = client.request(method, path, headers={"Authorization": token} if token else {})
            assert answer.status == 401, (path, token)
            assert "Bearer" in answer.headers["Www-Authenticate"]
    client.headers["Authorization"] = "Bearer s3cret"
    assert client.get("/api/v1/services") == {"services": []}


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(
    start_collector: Start, tmp_path: Path
) -> None:
    file = tmp_path / "heapwatch.toml"
    file.write_text('[collector]\nlisten = "[::1]:0"\nmax_body = "1KiB"\n', encoding="utf-8")
    client, _ = start_collector("--config", str(file))
    assert client.address.startswith("127.0.0.1:")
    assert client.post("/v1/metrics", b"x" * 2000, "application/x-protobuf").status == 413
