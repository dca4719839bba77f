"""`heapwatch leaks --service` against a collector that says what the test tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from heapwatch.cli.parser import main
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, Growth, Holder, Site, to_json

LEAK = Evidence(
    verdict="leak",
    service="shop",
    version="1.4",
    site=Site("3f2a9c0d11e84b56", "remember", "/srv/shop/feed.py", 88),
    type="shop.models.Listener",
    live_bytes=30e6,
    live_objects=41_000,
    growth=Growth(4e4, 3e4, 5e4, 52),
    time=1e9,
    instances=2,
    growing=2,
    holders=(Holder("shop.BUS.listeners[*]", "module", ("list", "shop.models.Listener"), 1.0),),
)
SUSPICION = replace(LEAK, verdict="suspicion", site=replace(LEAK.site, id="1" * 16, function="other"))


class Answering(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query), self.headers.get("Authorization")))
        status, value = self.server.answers.get(parts.path, (404, {"error": "no such path", "mend": "look"}))
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.answers, server.asked = {}, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("HEAPWATCH_COLLECTOR", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HEAPWATCH_TOKEN", "secret")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def analyzed(*verdicts: Evidence, status: str = "leak") -> dict[str, Any]:
    analysis = Analysis("shop", "1.4", 1e9, 600.0, status, 2, verdicts)  # type: ignore[arg-type]
    return {"analyses": [to_json(analysis)]}


def test_the_latest_verdicts_are_shown_leaks_first(
    collector: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    collector.answers["/api/v1/analyses"] = (200, analyzed(SUSPICION, LEAK))
    assert main(["leaks", "--service", "shop"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("shop 1.4: leak, 2 instances judged\n")
    assert shown.index("remember (/srv/shop/feed.py:88)") < shown.index("SUSPICION")
    assert "shop.BUS.listeners[*]" in shown
    assert collector.asked == [("/api/v1/analyses", {"service": ["shop"]}, "Bearer secret")]


def test_without_leaks_it_says_what_was_judged(collector: Any, capsys: pytest.CaptureFixture[str]) -> None:
    collector.answers["/api/v1/analyses"] = (200, analyzed(status="no leak"))
    assert main(["leaks", "--service", "shop", "--version", "1.4"]) == 0
    assert capsys.readouterr().out == "shop 1.4: no leak, 2 instances judged\n"
    assert collector.asked[0][1] == {"service": ["shop"], "version": ["1.4"]}


def test_before_the_first_analysis_the_processes_are_believed(
    collector: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    collector.answers["/api/v1/analyses"] = (200, {"analyses": []})
    documents = {"documents": [{"instance": "host-1-a", "evidence": to_json(SUSPICION)}]}
    collector.answers["/api/v1/services/shop/evidence"] = (200, documents)
    assert main(["leaks", "--service", "shop", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"][0]["site"]["function"] == "other"


@pytest.mark.parametrize(
    ("answer", "complaint", "mend"),
    [
        ((401, {"error": "no token", "mend": "send one"}), "no token", "send one"),
        ((200, b"<html>"), "no Heapwatch collector", "--collector"),
    ],
)
def test_failures_say_what_to_do(
    collector: Any, capsys: pytest.CaptureFixture[str], answer: Any, complaint: str, mend: str
) -> None:
    collector.answers["/api/v1/analyses"] = answer
    assert main(["leaks", "--service", "shop"]) == 1
    told = capsys.readouterr().err
    assert complaint in told
    assert mend in told


def test_a_collector_that_is_not_there_is_said_so(capsys: pytest.CaptureFixture[str], free_port: Any) -> None:
    assert main(["leaks", "--service", "shop", "--collector", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "HEAPWATCH_COLLECTOR" in capsys.readouterr().err


def test_one_of_process_and_service_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaks"]) == 1
    assert main(["leaks", "1", "--service", "shop"]) == 1
    assert "heapwatch leaks PID" in capsys.readouterr().err
