"""Starlette and FastAPI under a real uvicorn: requests that wait side by side are told apart."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Served

pytest.importorskip("wsproto", reason="not in the environments of other Pythons")

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

pytestmark = pytest.mark.integration

FASTAPI = """
import asyncio, os, time
import heapwatch
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from tell import counted

app = FastAPI()
kept = []
router = APIRouter()

async def keep(count):
    for _ in range(10):
        kept.append([bytes(1000) for _ in range(count)])
        await asyncio.sleep(0.01)

@router.get("/small/{number}")
async def small(number: int):
    await keep(20)
    return number

@router.get("/large/{number}")
async def large(number: int):
    await keep(80)
    return number

@app.get("/plain")
def plain():
    kept.append([bytes(1000) for _ in range(1000)])
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    return "done"

@app.get("/broken")
async def broken():
    raise ValueError

@app.get("/background")
async def background(tasks: BackgroundTasks):
    async def later():
        await asyncio.sleep(3)
        kept.append(bytes(3_000_000))
    tasks.add_task(later)
    return "done"

@app.get("/stream")
async def stream():
    async def parts():
        for _ in range(3):
            await asyncio.sleep(0.01)
            yield b"part"
    return StreamingResponse(parts())

@app.websocket("/chat/{room}")
async def chat(socket: WebSocket):
    await socket.accept()
    async for text in socket.iter_text():
        kept.append([bytes(1000) for _ in range(1000)])
        if text == "fail":
            raise ValueError
        await socket.send_text(text.upper())

@app.get("/counted")
async def tell():
    return Response(counted())

app.include_router(router, prefix="/api")
if "EXPLICIT" in os.environ:
    app.add_middleware(heapwatch.asgi)
old = Route("/page/{name}", lambda request: PlainTextResponse("old"))
app.mount("/old/{tenant}", Starlette(routes=[old]))
"""


class WebSocket:
    """A client that speaks in turn with its server."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._socket.sendall(self._protocol.send(Request(host="127.0.0.1", target=path)))
        assert isinstance(self._next(), AcceptConnection)

    def send(self, text: str) -> None:
        self._socket.sendall(self._protocol.send(TextMessage(text)))

    def ask(self, text: str) -> str:
        """The answer."""
        self.send(text)
        return str(self._next().data)

    def close(self) -> None:
        self._socket.sendall(self._protocol.send(CloseConnection(code=1000)))
        self._socket.close()

    def _next(self) -> Any:
        while True:
            for event in self._protocol.events():
                return event
            self._protocol.receive_data(self._socket.recv(4096))


@pytest.fixture
def fastapi(uvicorn: Callable[..., Served]) -> Served:
    pytest.importorskip("fastapi")
    return uvicorn(FASTAPI)


def test_requests_that_take_turns_on_one_thread_are_told_apart(
    fastapi: Served, wait_until: Callable[..., Any]
) -> None:
    paths = [f"/api/{size}/{number}" for number in range(20) for size in ("small", "large")]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fastapi.get, paths))
    told = wait_until(lambda: (found := fastapi.counted())["running"] == 1 and found)  # the one that asks
    small, large = (told["endpoints"][f"GET /api/{size}/{{number}}"] for size in ("small", "large"))
    assert small["outcomes"] == large["outcomes"] == {"200": 20}
    assert small["allocated"] > 0.85 * 10 * 20 * 1033, "serving takes some, too, most of it the same for both"
    assert large["allocated"] - small["allocated"] == pytest.approx(10 * 60 * 1033, rel=0.15)
    assert large["retained"] - small["retained"] == pytest.approx(10 * 60 * 1033, rel=0.15)
    live = [told["live"][f"GET /api/{size}/{{number}}"] for size in ("small", "large")]
    assert live == pytest.approx([20 * 10 * 20 * 1033, 20 * 10 * 80 * 1033], rel=0.15)
    assert large["cpu"] < large["seconds"] / 2, "most of the time it waited"


def test_plain_functions_run_in_threads_and_count_for_their_request(fastapi: Served) -> None:
    fastapi.get("/plain")
    first = fastapi.endpoints()["GET /plain"]  # which also starts the thread and imports what it needs
    fastapi.get("/plain")
    both = fastapi.endpoints()["GET /plain"]
    assert 2 * both["retained"] - first["retained"] == pytest.approx(1_033_000, rel=0.15)
    assert first["cpu"] >= 0.05


def test_a_websocket_is_one_piece_of_work_from_its_opening_to_its_end(
    uvicorn: Callable[..., Served], wait_until: Callable[..., None]
) -> None:
    pytest.importorskip("fastapi")
    fastapi = uvicorn(FASTAPI, EXPLICIT="yes")  # and by itself: counted once
    with closing(WebSocket(fastapi.port, "/chat/blue")) as socket:
        assert [socket.ask(text) for text in ("a", "b")] == ["A", "B"]
        assert fastapi.counted()["running"] == 2, "it and the one that asks"
    failing = WebSocket(fastapi.port, "/chat/red")
    failing.send("fail")
    name = "WEBSOCKET /chat/{room}"
    wait_until(lambda: fastapi.endpoints().get(name, {}).get("outcomes") == {"success": 1, "failure": 1})
    failing.close()
    chat = fastapi.endpoints()[name]
    assert chat["retained"] == pytest.approx(1.5 * 1_033_000, rel=0.2)
    assert fastapi.counted()["live"][name] == pytest.approx(3 * 1_033_000, rel=0.15)


@pytest.mark.parametrize("how", ["automatic", "explicit"])
def test_routes_statuses_and_traces(
    uvicorn: Callable[..., Served], wait_until: Callable[..., None], how: str
) -> None:
    pytest.importorskip("fastapi")
    explicit = {"EXPLICIT": "yes", "HEAPWATCH_INSTRUMENT": "off"}
    fastapi = uvicorn(FASTAPI, **(explicit if how == "explicit" else {}))
    trace = "0af7651916cd43dd8448eb211c80319c"
    fastapi.get("/old/acme/page/x", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    fastapi.get("/broken", 500)
    fastapi.get("/nowhere", 404)
    fastapi.get("/stream")
    # The client may have the last part before the server is done with the request.
    wait_until(lambda: "GET /stream" in fastapi.endpoints())
    told = fastapi.endpoints()
    assert {name: totals["outcomes"] for name, totals in told.items()} == {
        "GET /old/{tenant}/page/{name}": {"200": 1},
        "GET /broken": {"500": 1},
        "GET": {"404": 1},
        "GET /stream": {"200": 1},
    }
    assert told["GET /old/{tenant}/page/{name}"]["traces"] == [trace]
    assert told["GET /stream"]["seconds"] >= 0.03


def test_what_is_done_after_the_response_counts_for_memory_but_not_for_time(
    fastapi: Served, wait_until: Callable[..., None]
) -> None:
    fastapi.get("/background")
    wait_until(lambda: "GET /background" in fastapi.endpoints())
    told = fastapi.endpoints()["GET /background"]
    assert told["seconds"] < 3
    assert told["retained"] == pytest.approx(3e6, rel=0.1)
