"""The client tells what is wrong with an answer, and sends the token."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from heapwatch_analyzer.client import Collector, CollectorError, Unavailable
from heapwatch_analyzer.report import analyze
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Evidence, Growth, Site, to_json
from heapwatch_wire.settings import AnalyzerSettings

Answers = dict[str, tuple[int, Any]]

INSTANCE = {
    "id": "h-1-a", "version": "1.0", "pid": None, "host": "h", "runtime": "cpython", "first_seen": 5.0,
    "last_seen": 90.0, "rss_bytes": 1e8, "limit_bytes": None, "live_bytes": None,
}  # fmt: skip
SITE = {"id": "s1", "function": "f", "file": "a.py", "line": 3, "caller": None, "stack": []}
GROWTH = Growth(1.0, 0.5, 1.5, 0.1)
BEARER = "letmein"
SERVICE = "/api/v1/services/a%20b%2Fc"


def series(name: str, points: list[list[float]], instance: str = "h-1-a", **more: Any) -> dict[str, Any]:
    version = "1.0" if instance == "h-1-a" else "2.0"
    found = {"name": name, "instance": instance, "version": version, "attributes": {}, "points": points}
    return found | more


TRACKED = {
    "site": SITE,
    "endpoints": [{"name": "GET /", "share": 1.0}],
    "instances": {"h-1-a": [[1, 10, 2], [2, 20, 4]]},
}
METRICS = [
    series("process.memory.usage", [[1, 2], [2, 3]]),
    series("process.uptime", [[90, 100]]),
    series("heapwatch.gc.pause", [[1, 4, 0.5]], buckets=[[0.1], [[3, 1]]]),
    series("process.memory.usage", [[1, 2]], instance="other"),
]
GOOD: Answers = {
    "/api/v1/services": (200, {"services": [{"name": "a b/c"}]}),
    f"{SERVICE}/instances": (200, {"instances": [INSTANCE]}),
    f"{SERVICE}/metrics": (200, {"series": METRICS}),
    f"{SERVICE}/sites": (200, {"interval": 1000, "sites": [TRACKED]}),
    f"{SERVICE}/evidence": (200, {"documents": []}),
    "/api/v1/analyses": (200, {}),
}


class Server:
    """Answers from a table; keeps (method, path with query, headers, body) of what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((self.command, self.path, dict(self.headers.items()), body))
                status, answer = answers.get(
                    self.path.partition("?")[0], (404, {"error": "no", "mend": "yes"})
                )
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Server]]:
    started: list[tuple[Server, threading.Thread]] = []

    def start(answers: Answers) -> Server:
        server = Server(answers)
        thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.http.shutdown()
        thread.join()
        server.http.server_close()


def test_observations_hold_what_was_answered(serve: Callable[[Answers], Server]) -> None:
    server = serve(GOOD)
    collector = Collector(server.url + "/", token=BEARER)
    assert collector.services() == ["a b/c"]
    (seen,) = collector.observe("a b/c", 100.0, 60.0)
    assert (seen.service, seen.version) == ("a b/c", "1.0")
    assert (seen.time, seen.window, seen.interval) == (100.0, 60.0, 1000)
    (instance,) = seen.instances
    assert (instance.started, instance.pid, instance.limit_bytes) == (-10.0, 0, None)
    assert {s.name for s in seen.series} == {"process.memory.usage", "process.uptime"}
    (histogram,) = seen.histograms
    assert (histogram.counts.tolist(), histogram.sums.tolist()) == ([4.0], [0.5])
    (site,) = seen.sites
    np.testing.assert_array_equal(site.tracks["h-1-a"].bytes, [10, 20])
    assert site.endpoints[0].name == "GET /"
    assert all(headers["Authorization"] == f"Bearer {BEARER}" for _, _, headers, _ in server.asked)
    collector.publish(Analysis("a b/c", "1.0", 100.0, 60.0, "learning", 1))
    assert json.loads(server.asked[-1][3])["status"] == "learning"


BROKEN: list[tuple[str, tuple[int, Any], str]] = [
    ("instances", (200, {"instances": [{"id": "x"}]}), "same version"),
    ("instances", (200, []), "same version"),
    ("instances", (200, b"<html>"), "not JSON"),
    ("metrics", (200, {"series": [{"instance": "h-1-a", "name": "x", "points": [1]}]}), "same version"),
    ("sites", (200, {"interval": 1, "sites": [{"site": {"id": 1}, "instances": {}}]}), "same version"),
    ("sites", (401, {"error": "no token"}), "--token"),
    ("metrics", (500, {"error": "disk full", "mend": "free some"}), "disk full; free some"),
    ("metrics", (502, b"bad gateway"), "502: bad gateway"),
]


@pytest.mark.parametrize(("part", "answer", "told"), BROKEN)
def test_unusable_answers_say_what_and_how_to_mend(
    serve: Callable[[Answers], Server], part: str, answer: tuple[int, Any], told: str
) -> None:
    server = serve({**GOOD, f"{SERVICE}/{part}": answer})
    with pytest.raises(CollectorError, match=told):
        Collector(server.url).observe("a b/c", 100.0, 60.0)


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_collector_takes_later_is_told_apart(
    serve: Callable[[Answers], Server], status: int
) -> None:
    server = serve({"/api/v1/analyses": (status, {"error": "full", "mend": "later"})})
    with pytest.raises(Unavailable, match="full; later"):
        Collector(server.url).publish(Analysis("shop", "1.0", 100.0, 60.0, "learning", 1))


def test_a_report_that_cannot_be_read_does_not_cost_the_others(serve: Callable[[Answers], Server]) -> None:
    good = to_json(Evidence("leak", "a b/c", "1.0", Site("s1", "f", "a.py", 3), "", 1.0, 1.0, GROWTH, 90.0))
    documents = [{"instance": "h-1-a", "evidence": e} for e in (good | {"newer": 1}, good)]
    server = serve({**GOOD, f"{SERVICE}/evidence": (200, {"documents": documents})})
    (seen,) = Collector(server.url).observe("a b/c", 100.0, 60.0)
    assert [report.evidence.site.id for report in seen.reports] == ["s1"]
    assert any("'newer'" in note for note in analyze(seen, AnalyzerSettings()).notes)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1", "ftp://x"])
def test_unusable_address_says_the_mend(url: str) -> None:
    with pytest.raises(CollectorError, match="--collector"):
        Collector(url, timeout=300).services()


@pytest.mark.parametrize("count", [1, 10, 100, 3000])
def test_however_many_instances_the_collector_answers(serve: Callable[[Answers], Server], count: int) -> None:
    """It refuses a million points of sites: pushes come each second or later."""
    instances = [{**INSTANCE, "id": f"h-{i}"} for i in range(count)]
    server = serve({**GOOD, f"{SERVICE}/instances": (200, {"instances": instances})})
    Collector(server.url).observe("a b/c", 3605.0, 3600.0)
    asked = next(path for _, path, _, _ in server.asked if "/sites?" in path)
    query = {name: float(value) for name, (value,) in parse_qs(urlsplit(asked).query).items()}
    seconds = query["end"] - query["start"]
    points = seconds / max(1.0, query["step"]) * query["limit"] * count
    assert points <= 1e6
    assert query["limit"] >= 1
