"""Requests that hold too much are stopped, once, in time, and nobody else is."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from heapwatch.defence.gate import Gate
from heapwatch.defence.limits import RequestLimits
from heapwatch.defence.shedding import Shedding
from heapwatch.defence.stopping import Stopping
from heapwatch.instrument.asgi import AsgiMiddleware
from heapwatch.instrument.guard import BrokenOff
from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.threadpool import instrument
from heapwatch.instrument.wsgi import WsgiMiddleware
from heapwatch.sampler import NullSampler
from heapwatch_wire.config import ConfigError

LIMIT = 1000
HUGE = 10 * LIMIT
DEADLINE = 240.0


class Holding(Request):
    """A request that holds what the test says, in bytes."""

    __slots__ = ("held",)

    held: float

    def counts(self) -> tuple[float, float, float, float]:
        held = getattr(self, "held", 0.0)
        return held, 1.0, held, held


class HoldingRequests(Requests):
    """Begins such requests; the latest is `last`."""

    last: Holding

    def begin(self, method: str, scheme: str = "http") -> Holding:
        self.last = Holding(self, method)
        self.last.scheme = scheme
        return self.last


class Server:
    """Runs requests behind a gate, and looks for those to stop all the while."""

    def __init__(self, limits: str = "", mode: str = "act") -> None:
        self.requests = HoldingRequests(NullSampler("none"))
        self.stopping = Stopping(RequestLimits(LIMIT, limits), 507, mode)
        self.requests.guard = Gate(Shedding("", mode), self.stopping)
        self._halt = threading.Event()
        self._watcher = threading.Thread(target=self._look)

    def __enter__(self) -> Server:
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._halt.set()
        self._watcher.join()

    def _look(self) -> None:
        while not self._halt.wait(0.002):
            self.stopping.look()

    def ask(self, application: Callable[..., Any], method: str = "GET") -> tuple[str, bytes]:
        """Status and body of a WSGI application's answer."""
        statuses: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            statuses.append(status)

        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
        body = WsgiMiddleware(application, self.requests)(environ, start)
        try:
            content = b"".join(body)
            [status] = statuses  # some servers send the headers of all that they hear of
            return status, content
        finally:
            getattr(body, "close", lambda: None)()

    async def ask_asgi(self, application: Callable[..., Any]) -> list[Any]:
        """The messages that an ASGI application sends."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await AsgiMiddleware(application, self.requests)(scope, receive, send)
        return sent


def works(seconds: float = DEADLINE) -> None:
    """Python code that runs for so long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def answers(environ: Any, start: Any) -> list[bytes]:
    start("200 OK", [])
    return [b"fine"]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def assert_answered_for(server: Server, application: Callable[..., Any]) -> None:
    """Its request is stopped, and the client told why; counted once, with the status that was sent."""
    status, body = server.ask(application)
    assert status == "507 Insufficient Storage"
    assert b"short of memory" in body
    assert server.stopping.counts["GET", "act"] == 1
    [totals] = server.requests.totals()
    assert [outcome.status for outcome in totals.outcomes] == ["507"]


def test_a_request_that_holds_too_much_is_answered_for(server: Server) -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        server.requests.last.held = HUGE
        works()
        return [b"too late"]

    assert_answered_for(server, application)
    assert not server.requests.in_flight.running


def test_handlers_of_all_errors_do_not_keep_it_and_cleanup_runs(server: Server) -> None:
    cleaned: list[str] = []

    def application(environ: Any, start: Any) -> list[bytes]:
        server.requests.last.held = HUGE
        try:
            try:
                works()
            except Exception:
                cleaned.append("swallowed")
        finally:
            cleaned.append("finally")
        return [b""]

    assert server.ask(application)[0].startswith("507")
    assert cleaned == ["finally"]


def test_a_request_within_its_limit_is_let_be(server: Server) -> None:
    def application(environ: Any, start: Any) -> Iterable[bytes]:
        server.requests.last.held = LIMIT
        works(0.05)
        return answers(environ, start)

    assert server.ask(application) == ("200 OK", b"fine")
    assert not server.stopping.counts


def test_a_body_that_holds_too_much_before_its_first_part_is_answered_for(server: Server) -> None:
    def application(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "1")])
        server.requests.last.held = HUGE
        works()
        yield b"x"

    assert_answered_for(server, application)


def test_a_response_under_way_is_broken_off(server: Server) -> None:
    sent: list[bytes] = []
    cleaned: list[str] = []

    def application(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"0"
        server.requests.last.held = HUGE
        try:
            works()
            yield b"1"
        finally:
            cleaned.append("finally")

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        if sent:  # as PEP 3333 has it
            raise error[1]

    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    body = WsgiMiddleware(application, server.requests)(environ, start)
    with pytest.raises(BrokenOff, match="more memory than its limit"):
        sent.extend(body)  # a part at a time
    body.close()  # type: ignore[attr-defined]
    assert cleaned == ["finally"]
    [totals] = server.requests.totals()
    assert [(outcome.status, outcome.error) for outcome in totals.outcomes] == [("200", "BrokenOff")]
    assert not server.requests.in_flight.running


def test_who_cleans_up_is_stopped_only_after_it(server: Server) -> None:
    done: list[str] = []

    class Connection:
        def close(self) -> None:
            server.requests.last.held = HUGE
            works(0.1)
            done.append("closed")

    def application(environ: Any, start: Any) -> list[bytes]:
        Connection().close()
        works()
        return [b""]

    assert server.ask(application)[0].startswith("507")
    assert done == ["closed"]


def test_a_stop_reaches_only_the_request_that_is_meant(server: Server) -> None:
    """Requests end just when they are stopped: the thread goes on unharmed, whoever was first."""
    outcomes = set()

    def application(environ: Any, start: Any) -> list[bytes]:
        server.requests.last.held = HUGE
        works(0.002 * (number % 10) if number else DEADLINE)
        return answers(environ, start)

    for number in range(150):  # noqa: B007  # the application reads it
        status, body = server.ask(application)
        assert (status, body == b"fine") in {("200 OK", True), ("507 Insufficient Storage", False)}
        outcomes.add(status)
        assert server.ask(answers) == ("200 OK", b"fine")
    assert len(outcomes) == 2, outcomes


def test_a_stop_that_is_swallowed_is_repeated(server: Server) -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        server.requests.last.held = HUGE
        swallowed = 0
        while True:  # as code that catches everything, or a finalizer, does
            try:
                works()
            except BaseException:
                swallowed += 1
                if swallowed == 2:
                    raise

    assert server.ask(application)[0].startswith("507")
    assert server.stopping.counts["GET", "act"] == 1


def test_limits_are_by_endpoint() -> None:
    limits = RequestLimits(LIMIT, "GET /export=2GiB, POST /import/*=512MiB, * /free = 0")
    assert limits.of("GET /export") == 2 << 30
    assert limits.of("POST /import/photos") == 512 << 20
    assert limits.of("GET /free") == 0
    assert limits.of("GET /page") == LIMIT
    assert not RequestLimits(0, "GET /x=0")
    assert RequestLimits(0, "GET /x=1MiB")


@pytest.mark.parametrize("text", ["GET /export", "GET /export=", "GET /export=much"])
def test_limits_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"request_limits=.*such as GET /export=2GiB"):
        RequestLimits(0, text)


def test_observe_counts_and_stops_nobody() -> None:
    with Server(mode="observe") as server:

        def application(environ: Any, start: Any) -> Iterable[bytes]:
            server.requests.last.held = HUGE
            end = time.monotonic() + DEADLINE
            while not server.stopping.counts and time.monotonic() < end:
                works(0.01)
            works(0.05)
            return answers(environ, start)

        assert server.ask(application) == ("200 OK", b"fine")
        assert server.stopping.counts["GET", "observe"] == 1


def test_it_is_said_once_with_the_figures(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        server.requests.last.held = 3 << 20
        works()
        return [b""]

    for _ in range(2):
        server.ask(application)
    said = [record.getMessage() for record in caplog.records if "was stopped" in record.getMessage()]
    assert len(said) == 1
    assert "GET was stopped: it held 3.0 MiB, its limit is 0.0 MiB" in said[0]


def test_a_task_is_cancelled_and_answered_for(server: Server) -> None:
    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        server.requests.last.held = HUGE
        await asyncio.sleep(DEADLINE)

    start, body = asyncio.run(server.ask_asgi(application))
    assert start["status"] == 507
    assert (b"content-type", b"text/plain") in start["headers"]
    assert b"short of memory" in body["body"]


def test_other_tasks_of_the_loop_go_on(server: Server) -> None:
    async def greedy(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        server.requests.last.held = HUGE
        await asyncio.sleep(DEADLINE)

    async def modest(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def both() -> list[list[Any]]:
        return list(await asyncio.gather(server.ask_asgi(greedy), server.ask_asgi(modest)))

    stopped, served = asyncio.run(both())
    assert stopped[0]["status"] == 507
    assert served[0]["status"] == 200


def test_a_task_that_answers_is_broken_off(server: Server) -> None:
    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        server.requests.last.held = HUGE
        await asyncio.sleep(DEADLINE)

    with pytest.raises(BrokenOff):
        asyncio.run(server.ask_asgi(application))


def test_what_is_done_after_the_response_is_let_be(server: Server) -> None:
    done: list[str] = []

    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})
        server.requests.last.held = HUGE
        await asyncio.sleep(0.05)
        done.append("in the background")

    asyncio.run(server.ask_asgi(application))
    assert done
    assert not server.stopping.counts


def test_a_cancellation_by_somebody_else_passes(server: Server) -> None:
    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await asyncio.sleep(DEADLINE)

    async def cancelled() -> None:
        task = asyncio.create_task(server.ask_asgi(application))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


@pytest.fixture
def run_sync() -> Callable[..., Awaitable[Any]]:
    """anyio's, as services have it."""
    to_thread = ModuleType("to_thread")
    to_thread.run_sync = pytest.importorskip("anyio.to_thread").run_sync  # type: ignore[attr-defined]
    instrument(to_thread)
    found: Callable[..., Awaitable[Any]] = to_thread.run_sync
    return found


def test_a_function_in_a_worker_thread_is_stopped(server: Server, run_sync: Callable[..., Any]) -> None:
    ended: list[str] = []

    def plain() -> None:
        server.requests.last.held = HUGE
        try:
            works()
        finally:
            ended.append("stopped")

    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        try:
            await run_sync(plain)
        finally:
            # The task went on when the function had ended, not before, and the thread is as good as ever.
            ended.append(await run_sync(lambda: "reused"))

    start, _ = asyncio.run(server.ask_asgi(application))
    assert start["status"] == 507
    assert ended == ["stopped", "reused"]
    assert server.stopping.counts["GET", "act"] == 1


def test_what_a_worker_thread_gives_back_is_given_back(server: Server, run_sync: Callable[..., Any]) -> None:
    class Connection:
        closed = False

        def __exit__(self, *error: object) -> None:
            server.requests.last.held = HUGE
            works(0.1)
            self.closed = True

    connection = Connection()

    async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await run_sync(connection.__exit__, None, None, None)
        await asyncio.sleep(DEADLINE)

    start, _ = asyncio.run(server.ask_asgi(application))
    assert start["status"] == 507
    assert connection.closed


def test_functions_of_other_requests_go_on(server: Server, run_sync: Callable[..., Any]) -> None:
    """Functions end just when they are stopped, on threads that take the next one at once."""
    lasts = 0.0

    async def greedy(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        server.requests.last.held = HUGE
        await run_sync(works, lasts)
        await modest(scope, receive, send)

    async def modest(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await run_sync(works, 0.0005)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def all_of_them() -> None:
        nonlocal lasts
        for number in range(60):
            lasts = 0.002 * (number % 5)
            first, second = await server.ask_asgi(greedy), await server.ask_asgi(modest)
            assert first[0]["status"] in {200, 507}
            assert second[0]["status"] == 200

    asyncio.run(all_of_them())


GREENLETS = """
import gevent
from tests.agent.defence.test_stopping import DEADLINE, HUGE, Server, answers, works

def greedy(environ, start):
    server.requests.last.held = HUGE
    (works if environ["REQUEST_METHOD"] == "GET" else gevent.sleep)(DEADLINE)
    return answers(environ, start)

def bystander():
    for _ in range(200):
        works(0.0002)
        gevent.sleep(0.0002)
    return "unharmed"

with Server() as server:
    others = [gevent.spawn(bystander) for _ in range(3)]
    for method in ["GET", "POST"] * 10:
        asked = gevent.spawn(server.ask, greedy, method)
        assert asked.get()[0].startswith("507"), asked
        assert gevent.spawn(server.ask, answers).get() == ("200 OK", b"fine")
    assert [other.get() for other in others] == ["unharmed"] * 3
print("all stopped")
"""


def test_only_the_greenlet_that_is_meant_is_stopped() -> None:
    """Whether it waits or runs, among others on the same thread; in a process where nothing else was."""
    pytest.importorskip("gevent")
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", GREENLETS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout == "all stopped\n", done.stderr
    assert "Traceback" not in done.stderr
