"""Workers of real servers take leave when asked to, and stop requests that hold too much."""

from __future__ import annotations

import http.client
import importlib.util
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from heapwatch.cli.parser import main
from heapwatch.control.client import Client, ControlError

from tests.agent.conftest import PYUWSGI, with_bootstrap

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PATIENCE = 150.0

APPLICATIONS = """
import asyncio, os, socketserver, sys, time
import heapwatch

heapwatch.start()
PIECE = 100_000
ballast = b"x" * int(os.environ["BALLAST"])

def begun():
    with open(os.environ["BEGUN"] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(file.name, os.environ["BEGUN"])

def wsgi(environ, start_response):
    path, kept = environ["PATH_INFO"], []
    if path == "/slow":
        begun()
        while not os.path.exists(os.environ["GO_ON"]):
            time.sleep(0.01)
    for _ in range({"/greedy": 900, "/modest": 10}.get(path, 0)):
        kept.append(bytes(PIECE))
    while path == "/greedy" and not os.path.exists(os.environ["GO_ON"]):
        time.sleep(0.01)
    body = (str(heapwatch.ready()) if path == "/ready" else str(os.getpid())).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return streamed(path) if path.startswith("/streamed") else [body]

def streamed(path):
    if path == "/streamed/late":
        yield b"."
    hold_much()
    yield b"."

def hold_much():
    kept = [bytes(PIECE) for _ in range(900)]
    while True:
        len(kept)

@heapwatch.asgi
async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    path, kept = scope["path"], []
    if path == "/slow":
        begun()
        while not os.path.exists(os.environ["GO_ON"]):
            await asyncio.sleep(0.01)
    for _ in range({"/greedy": 900, "/modest": 10}.get(path, 0)):
        kept.append(bytes(PIECE))
    while path == "/greedy" and not os.path.exists(os.environ["GO_ON"]):
        await asyncio.sleep(0.01)
    body = (str(heapwatch.ready()) if path == "/ready" else str(os.getpid())).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

wsgi = heapwatch.wsgi(wsgi)

def plain(request):
    from starlette.responses import PlainTextResponse
    if request.url.path == "/greedy":
        try:
            hold_much()
        finally:
            begun()
    return PlainTextResponse("fine")

def starlette():
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route
    within = Middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    return Starlette(routes=[Route("/{path:path}", plain)], middleware=[within])

if __name__ == "__main__":
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(sys.argv[1]), wsgi).serve_forever()
"""
GUNICORN = ("-m", "gunicorn", "application:wsgi", "-b", "127.0.0.1:PORT", "-t", "120", "-w", "1")
UWSGI = (*PYUWSGI, "--http-socket", "127.0.0.1:PORT", "--master")
UWSGI += ("--wsgi", "application:wsgi", "--need-app", "--no-orphans", "--die-on-term")
SERVERS: dict[str, tuple[str, ...]] = {
    "sync": GUNICORN,
    "gthread": (*GUNICORN, "-k", "gthread", "--threads", "4"),
    "uWSGI": UWSGI,
    "gevent": (*GUNICORN, "-k", "gevent"),
    "starlette": ("-m", "uvicorn", "--factory", "application:starlette", "--port", "PORT"),
    "uvicorn": ("-m", "uvicorn", "application:asgi", "--port", "PORT"),
    "uvicorn with workers": ("-m", "uvicorn", "application:asgi", "--port", "PORT", "--workers", "2"),
    "wsgiref": ("application.py", "PORT"),
}
DRAINED = ("sync", "gthread", "uWSGI", "uvicorn", "uvicorn with workers", "wsgiref")
REPLACES = {"sync", "gthread", "uWSGI", "uvicorn with workers"}


@dataclass
class Server:
    """A server with the agent in it, below `folder`."""

    child: Any
    port: int
    folder: Path

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return self.get("/")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


@pytest.fixture
def serve(
    spawn: Callable[..., Any],
    free_port: Callable[[], int],
    tmp_path: Path,
    wait_until: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Server]]:
    """serve(name of SERVERS, ballast, **settings) -> a server that answers, with as many bytes in it."""
    (tmp_path / "application.py").write_text(APPLICATIONS)
    monkeypatch.setenv("HEAPWATCH_RUNTIME_DIR", str(tmp_path / "run"))

    def start(name: str, ballast: int = 0, **settings: str) -> Server:
        if SERVERS[name][0] == "-m":
            pytest.importorskip(SERVERS[name][1])
        elif name == "uWSGI" and importlib.util.find_spec("pyuwsgi") is None:
            pytest.skip("pyuwsgi isn't installed")  # importing it would make this process uWSGI's
        port = free_port()
        environment = {
            # uWSGI's application starts the agent itself, before the fork.
            **({} if name == "uWSGI" else {"PYTHONPATH": with_bootstrap()}),
            "HEAPWATCH_SERVICE": "shop",
            "BALLAST": str(ballast),
            "BEGUN": str(tmp_path / "begun"),
            "GO_ON": str(tmp_path / "go on"),
            **{f"HEAPWATCH_{key.upper()}": value for key, value in settings.items()},
        }
        command = [part.replace("PORT", str(port)) for part in SERVERS[name]]
        server = Server(spawn(sys.executable, *command, env=environment, cwd=tmp_path), port, tmp_path)
        wait_until(server.answers, timeout=PATIENCE, what=name)
        return server

    yield start
    (tmp_path / "go on").touch()


def ended(pid: int) -> bool:
    """Whether a process has ended, perhaps unnoticed by its parent."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("name", DRAINED)
def test_a_worker_that_drains_finishes_what_runs(
    name: str,
    serve: Callable[..., Server],
    wait_until: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve(name, defence_grace="0.2")
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(server.get("/slow")))
    slow.start()
    wait_until((server.folder / "begun").exists, timeout=PATIENCE)

    pid = int((server.folder / "begun").read_text())
    asking = Client(str(server.folder / "run"), timeout=PATIENCE)
    wait_until(lambda: asking.has_agent(pid), timeout=PATIENCE)
    assert main(["drain", str(pid), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["begun"]
    assert told["running"] == 1
    assert told["graceful"] == (name != "wsgiref")
    if name != "wsgiref":  # it would end only when nothing runs
        wait_until(lambda: not server_ready(server, pid), timeout=PATIENCE)
    (server.folder / "go on").touch()
    slow.join(PATIENCE)
    assert answers == [(200, str(pid))]
    wait_until(lambda: ended(pid), timeout=PATIENCE, what="its end")
    if name in REPLACES:
        wait_until(server.answers, timeout=PATIENCE, what="another worker")
        assert server.get("/") != (200, str(pid))
    assert "Traceback" not in server.child.output


def server_ready(server: Server, pid: int) -> bool:
    """What the worker's own control socket says."""
    try:
        stats = Client(str(server.folder / "run"), timeout=PATIENCE).call(pid, "stats")
        return bool(stats["agent"]["defence"]["ready"])
    except ControlError:
        return False


@pytest.mark.parametrize("name", ["gthread", "gevent", "uvicorn", "starlette"])
def test_a_request_that_holds_too_much_is_stopped(
    name: str, serve: Callable[..., Server], wait_until: Callable[..., Any]
) -> None:
    server = serve(name, defence="act", request_limit="40MiB", request_limit_status="507")
    status, body = server.get("/greedy")
    assert (status, "short of memory" in body) == (507, True)
    assert server.get("/modest")[0] == 200
    if name == "starlette":
        wait_until((server.folder / "begun").exists, what="the end of the function in its thread")
    elif name != "uvicorn":
        assert server.get("/streamed/early")[0] == 507
    assert server.get("/")[0] == 200
    assert "Traceback" not in server.child.output


@pytest.mark.parametrize("name", ["gthread", "gevent"])
def test_a_response_under_way_that_holds_too_much_is_broken_off(
    name: str, serve: Callable[..., Server]
) -> None:
    server = serve(name, defence="act", request_limit="40MiB")
    with pytest.raises((http.client.HTTPException, OSError)):
        server.get("/streamed/late")
    assert server.get("/")[0] == 200
    server.child.wait_line("heapwatch stopped this request")


def test_the_balancer_is_answered_by_one_of_the_workers(
    serve: Callable[..., Server], free_port: Callable[[], int], wait_until: Callable[..., Any]
) -> None:
    port = free_port()
    check = f"127.0.0.1:{port}"
    server = serve("sync", ballast=300_000_000, defence="act", agent_check=check, defence_limit="200MiB")

    def told() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                return connection.recv(100)
        except OSError:
            return b""

    # The limit is met from the start, and the worker grows by far less than 5% of it: its end would not help.
    wait_until(lambda: told() == b"up ready 10%\n", timeout=PATIENCE)
    wait_until(lambda: server.get("/")[0] == 503, timeout=PATIENCE)


def test_main_process_and_strangers_do_not_drain(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str], wait_until: Callable[..., Any]
) -> None:
    server = serve("sync")
    asking = Client(str(server.folder / "run"), timeout=PATIENCE)
    wait_until(lambda: asking.has_agent(server.child.pid), timeout=PATIENCE)
    assert main(["drain", str(server.child.pid)]) == 1
    assert "serves no HTTP requests" in capsys.readouterr().err
    assert server.get("/")[0] == 200
