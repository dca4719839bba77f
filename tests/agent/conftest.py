"""A collector that records what it gets and misbehaves on demand, and a sampler that says what it is told."""

from __future__ import annotations

import gzip
import http.client
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from heapwatch.cli.commands.run import BOOTSTRAP
from heapwatch.sampler import Encoded, Labels, Level, Lifetimes, LiveSample, Owners, Row, Totals
from heapwatch.scopes import CURRENT
from heapwatch_wire import pprof
from heapwatch_wire.protobuf import Value, read, submessage
from heapwatch_wire.sites import Stack

Answer = Callable[["Handler"], None]


@dataclass(frozen=True)
class Received:
    """A request as the collector got it, its body unpacked."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def labels(self) -> dict[str, str]:
        """Labels of a pushed profile."""
        pairs = (dict(read(submessage(v))) for n, v in read(self._series()) if n == 1)
        return {_text(pair[1]): _text(pair.get(2, b"")) for pair in pairs}

    @property
    def profile(self) -> pprof.Profile:
        """A pushed profile."""
        sample = next(submessage(v) for n, v in read(self._series()) if n == 2)
        return pprof.decode(submessage(dict(read(sample))[1]))

    def _series(self) -> bytes:
        return submessage(dict(read(self.body))[1])


def _text(value: Value) -> str:
    return submessage(value).decode()


class Handler(BaseHTTPRequestHandler):
    """Reads the body, lets the collector's `answer` write the response."""

    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.got = Received(self.path, dict(self.headers), body)
        self.server.attempts.append(self.got)
        self.server.answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        if status == 200:
            self.server.received.append(self.got)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


class Collector(ThreadingHTTPServer):
    """`attempts` are all requests, `received` those answered with 200; replace `answer` to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.attempts: list[Received] = []
        self.received: list[Received] = []
        self.answer: Answer = accept
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def profiles(self) -> list[Received]:
        return [r for r in list(self.received) if r.path == "/push.v1.PusherService/Push"]

    def latest_profiles(self) -> dict[str, Received]:
        """What each process pushed last, by its pid."""
        return {pushed.labels["pid"]: pushed for pushed in self.profiles()}

    def metrics(self) -> list[Received]:
        return [r for r in list(self.received) if r.path == "/v1/metrics"]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


def accept(handler: Handler) -> None:
    handler.reply(200)


def hang(handler: Handler) -> None:
    """Answer nothing until the collector is released, and then hang up."""
    handler.server.released.wait(300)
    handler.close_connection = True


@pytest.fixture(autouse=True)
def nothing_runs() -> None:
    """Each test begins outside of all work, though the one before may have left a request without an end."""
    CURRENT.set(None)


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def http_get(port: int, path: str = "/") -> str:
    """The body of the answer of a server on this machine, which must have the status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, (path, answer.status)
        return answer.read().decode()
    finally:
        connection.close()


PYUWSGI = ("-c", "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])")
"""Arguments of Python's that make it uWSGI."""


def with_bootstrap(*folders: Path) -> str:
    """PYTHONPATH with `folders` on it that starts the agent with Python, as `heapwatch run` sets it."""
    return os.pathsep.join(filter(None, [*map(str, [BOOTSTRAP, *folders]), os.environ.get("PYTHONPATH")]))


@dataclass
class ScriptedSampler:
    """A sampler whose rows and statistics the test writes."""

    rows: list[Row] = field(default_factory=list)
    labels: Labels = field(default_factory=Labels)
    statistics: dict[str, int | float] = field(default_factory=lambda: {"interval": 65536})
    threads: dict[int, int] = field(default_factory=dict)
    taken: list[bool] = field(default_factory=list)
    given_back: list[bytes] = field(default_factory=list)
    reason: str = ""
    running: bool = True

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def set_interval(self, interval: int) -> None:
        self.statistics["interval"] = interval

    def sample_cost(self) -> float:
        return 1e-6

    def set_label(self, label: int) -> int:
        thread = threading.get_ident()
        before = self.threads.get(thread, 0)
        self.threads[thread] = label
        return before

    def export(self, live: bool = False) -> list[Row]:
        return [row for row in self.rows if row.inuse_bytes > 0 or not live]

    def totals(self, live: bool = False) -> list[Totals]:
        return [Totals(row.stack_id, row.label, row.thread, *row[5:]) for row in self.export(live)]

    def levels(self) -> Iterator[Level]:
        return ((row.stack_id, row.inuse_bytes, row.inuse_objects) for row in self.totals(live=True))

    def frames(self, stack_id: int) -> Stack:
        return next((row.frames for row in self.rows if row.stack_id == stack_id), ())

    def peak(self) -> Encoded:
        return self.profile(take=False)

    def profile(self, take: bool) -> Encoded:
        samples = [pprof.Sample(row.frames, tuple(round(row[i]) for i in (7, 8, 5, 6))) for row in self.rows]
        self.taken.append(take)
        return Encoded(memoryview(pprof.encode_message(pprof.Profile(samples, period=65536))), b"taken")

    def give_back(self, allocated: bytes) -> None:
        self.given_back.append(allocated)

    def high_water(self) -> tuple[float, float] | None:
        return None

    def live_samples(self, stack_id: int, limit: int) -> list[LiveSample]:
        return []

    def lifetimes(self, stack_ids: Iterable[int]) -> dict[int, Lifetimes]:
        return {}

    def owners(self, stack_ids: Sequence[int], limit: int) -> Iterator[Owners]:
        return iter(())

    def stats(self) -> dict[str, int | float]:
        return dict(self.statistics)


@pytest.fixture
def sampler() -> ScriptedSampler:
    return ScriptedSampler()
