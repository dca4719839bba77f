"""Applications that do next to nothing, measured and not: what benchmarks.requests compares.

    python -m benchmarks.request_cases Flask --ours --units 100

One of them in this process, for its instructions to be counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

from heapwatch.gcstats import GcStats
from heapwatch.instrument.asgi import REQUEST_KEY, AsgiMiddleware
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.tag import Tag
from heapwatch.instrument.wsgi import WsgiMiddleware
from heapwatch.sampler import open_sampler
from heapwatch_wire.settings import AgentSettings

from benchmarks.children import mark

WARMUP = 100
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


def flask_page(requests: Requests) -> Case:
    """Flask."""
    case: Case = import_module("benchmarks.request_flask").page(requests, serve)
    return case


def flask_statements(requests: Requests) -> Case:
    """Flask with STATEMENTS statements through SQLAlchemy, all the same: the N+1 that costs most."""
    case: Case = import_module("benchmarks.request_flask").statements(requests, serve, STATEMENTS)
    return case


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
    yield requests
    stats.remove()
    sampler.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--ours", action="store_true", help="measured by the agent")
    parser.add_argument("--units", type=int, default=100, help="requests that are counted")
    args = parser.parse_args()
    with sampling() as requests:
        with_ours, without = CASES[args.case](requests)
        handle = with_ours if args.ours else without
        for _ in range(WARMUP):
            handle()
        gc.collect()
        mark()
        for _ in range(args.units):
            handle()
        mark()
    print("{}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
