"""What attribution costs a request: applications that do next to nothing, measured and not, in alternation.

    python -m benchmarks.requests [--rounds 400] [--requests 50]

No server, no network: one thread calls the application, in short blocks with ours and without, in turn. The
sampler runs in both, at its default interval. Reported is the CPU time that ours adds to a request: of the
fastest blocks, which a busy machine disturbs least; by the median of the rounds' ratios, as both blocks of a
round are disturbed alike, times the fastest without; and the median of the rounds' differences, with
quartiles.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import flask
import sqlalchemy
from flask import Flask
from heapwatch.gcstats import GcStats
from heapwatch.instrument import flask as flask_adapter
from heapwatch.instrument import sqlalchemy as sqlalchemy_adapter
from heapwatch.instrument.asgi import REQUEST_KEY, AsgiMiddleware
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.tag import Tag
from heapwatch.instrument.wsgi import WsgiMiddleware
from heapwatch.sampler import open_sampler
from heapwatch_wire.settings import AgentSettings

from benchmarks.results import Result, Table, record, versions

LIMIT = 15.0
MEASURABLE = 5.0
"""Microseconds from which on a block's ratio says something."""
STATEMENTS = 10
AWAITS = 10
BODY = b"ok" * 500
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/p/7",
    "SERVER_NAME": "x",
    "SERVER_PORT": "80",
    "wsgi.url_scheme": "http",
}

Handle: TypeAlias = Callable[[], None]
Case: TypeAlias = tuple[Handle, Handle]
"""Handles one request with ours, and without."""


def serve(application: Any) -> None:
    """One request, as a WSGI server makes it."""
    body = application(dict(ENVIRON), lambda status, headers, exc_info=None: None)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()


def wsgi(requests: Requests) -> Case:
    """An application that says its route."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        request = environ.get(REQUEST_KEY)
        if request is not None:
            request.matched("/p/<int:id>")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [BODY]

    measured = WsgiMiddleware(application, requests)
    return lambda: serve(measured), lambda: serve(application)


def asgi(requests: Requests) -> Case:
    """An application that waits AWAITS times."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        request = scope.get(REQUEST_KEY)
        if request is not None:
            request.matched("/p/{id}")
        for _ in range(AWAITS):
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BODY})

    async def send(message: Any) -> None:
        pass

    def handle(served: Any) -> None:
        scope = {"type": "http", "method": "GET", "path": "/p/7", "headers": [(b"host", b"x")] * 8}
        running = served(scope, None, send)
        while True:
            try:
                running.send(None)
            except StopIteration:
                return

    measured = AsgiMiddleware(application, requests)
    return lambda: handle(measured), lambda: handle(application)


class PlainContext(flask.ctx.RequestContext):
    """As it is before the adapter listens for routes."""

    match_request = flask.ctx.RequestContext.match_request


class PlainFlask(Flask):
    """Whose requests aren't measured."""

    def request_context(self, environ: Any) -> PlainContext:
        return PlainContext(self, environ)


def shop(view: Callable[[], str], kind: type[Flask] = PlainFlask) -> Flask:
    """A Flask application of one route."""
    app = kind("shop")
    app.add_url_rule("/p/<int:number>", view_func=lambda number: view())
    return app


def flask_page(requests: Requests) -> Case:
    """Flask."""
    measured, plain = measured_flask(shop(lambda: "ok", Flask), requests), shop(lambda: "ok").wsgi_app
    return lambda: serve(measured), lambda: serve(plain)


def flask_statements(requests: Requests) -> Case:
    """Flask with STATEMENTS statements through SQLAlchemy, all the same: the N+1 that costs most."""
    engines = [sqlalchemy.create_engine("sqlite://") for _ in range(2)]
    plain: Any = engines[1].dialect
    for name in ("do_execute", "do_execute_no_params"):  # as they are before the adapter wraps them
        setattr(plain, name, getattr(plain, name))
    sqlalchemy_adapter.instrument(sys.modules["sqlalchemy.engine.default"])

    def view(engine: sqlalchemy.Engine) -> str:
        with engine.connect() as connection:
            for number in range(STATEMENTS):
                connection.execute(sqlalchemy.text("SELECT :number"), {"number": number}).scalar()
        return "ok"

    measured = measured_flask(shop(lambda: view(engines[0]), Flask), requests)
    plain = shop(lambda: view(engines[1])).wsgi_app
    return lambda: serve(measured), lambda: serve(plain)


def measured_flask(app: Flask, requests: Requests) -> Any:
    """The application, measured as the adapter of Flask measures all."""
    return WsgiMiddleware(app.wsgi_app, requests)


def tag(requests: Requests) -> Case:
    """`with heapwatch.tag(...)` around nothing."""

    def tagged() -> None:
        with Tag(requests, "job"):
            pass

    return tagged, lambda: None


CASES: dict[str, Callable[[Requests], Case]] = {
    "WSGI": wsgi,
    f"ASGI, {AWAITS} awaits": asgi,
    "Flask": flask_page,
    f"Flask, {STATEMENTS} statements by SQLAlchemy": flask_statements,
    "heapwatch.tag": tag,
}


def block(handle: Handle, count: int) -> float:
    """CPU seconds of one request."""
    began = time.thread_time()
    for _ in range(count):
        handle()
    return (time.thread_time() - began) / count


def measure(case: Case, rounds: int, count: int, chance: random.Random) -> list[tuple[float, float]]:
    """(with, without) of each round, in microseconds."""
    found = []
    for handle in case:
        block(handle, count)
    for _ in range(rounds):
        order = chance.sample((0, 1), 2)
        took = {which: block(case[which], count) for which in order}
        found.append((took[0] * 1e6, took[1] * 1e6))
    return found


@contextmanager
def sampling() -> Iterator[Requests]:
    """Requests of a running sampler."""
    sampler = open_sampler(65536, 128)
    if sampler.reason:
        sys.exit(f"no sampler: {sampler.reason}")
    stats = GcStats()
    stats.install()
    requests = Requests(sampler, stats)
    requests.cpu_share = AgentSettings().request_cpu
    flask_adapter.instrument_routes(flask.ctx)
    yield requests
    stats.remove()
    sampler.stop()


def row(name: str, found: list[tuple[float, float]]) -> list[str]:
    """The case's line of the table."""
    low, middle, high = statistics.quantiles([on - off for on, off in found], n=4)
    fastest = min(off for _, off in found)
    scaled = f"{by_ratio(found):.1f}" if fastest >= MEASURABLE else ""
    return [name, f"{fastest:.1f}", f"{cost(found):.1f}", scaled, f"{middle:.1f}", f"{low:.1f} to {high:.1f}"]


def cost(found: list[tuple[float, float]]) -> float:
    """Of the fastest blocks."""
    return min(on for on, _ in found) - min(off for _, off in found)


def by_ratio(found: list[tuple[float, float]]) -> float:
    """By the median of the rounds' ratios."""
    return (statistics.median(on / off for on, off in found) - 1) * min(off for _, off in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="blocks of each kind (default: 400)")
    parser.add_argument("--requests", type=int, default=50, help="requests of a block (default: 50)")
    args = parser.parse_args()
    chance = random.Random(1)
    data = {}
    with sampling() as requests:
        for name, make in CASES.items():
            data[name] = measure(make(requests), args.rounds, args.requests, chance)
    about = " ".join((__doc__ or "").split("\n\n", 2)[2].split())
    columns = ["", "without, µs", "ours, µs", "by ratio", "median", "half of the rounds"]
    rows = [row(name, found) for name, found in data.items()]
    command = "python -m benchmarks.requests"
    machine = versions("flask", "sqlalchemy")
    table = Table("Attribution per request", columns, rows)
    record(Result("requests", 60, "What attribution costs a request", about, command, [table], data, machine))
    return int(max(cost(found) for name, found in data.items() if "statements" not in name) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
