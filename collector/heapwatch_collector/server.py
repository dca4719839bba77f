"""Serving: the socket, the threads, and stopping without losing what was received."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time
from typing import Any

from heapwatch_wire.config import ConfigError
from heapwatch_wire.settings import CollectorSettings
from waitress.server import create_server
from waitress.task import ThreadedTaskDispatcher

from heapwatch_collector.context import Collector
from heapwatch_collector.web_app import create_app, is_loopback

_DRAIN = 10.0
_GC_ALLOCATIONS = 100_000


def bind(settings: CollectorSettings) -> socket.socket:
    """The listening socket. Raises ConfigError for an address that is unusable or needs a token."""
    host, colon, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"listen={settings.listen!r}: expected HOST:PORT, such as 127.0.0.1:4040 or [::1]:4040"
        )
    if not settings.token and not is_loopback(host):
        raise ConfigError(
            f"listen={settings.listen!r} can be reached from other machines: "
            "set HEAPWATCH_TOKEN (and give it to the agents), or listen on 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"listen={settings.listen!r}: {error.strerror or error}; choose another port, or 0 for a free one"
        ) from None


def serve(settings: CollectorSettings) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way and commit it.

    Prints `listening on http://HOST:PORT` first. Raises ConfigError or StoreError when it can't start.
    """
    # A push is thousands of tuples that live until its commit and hold no cycles: with Python's own
    # thresholds half of the collector's CPU time goes into looking for some.
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS, 10, 10)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Under load it would write a line per request; the commit's histogram says it better.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    listener = bind(settings)
    collector = Collector.open(settings)
    try:
        _run(collector, listener)
    finally:
        collector.close()


def _run(collector: Collector, listener: socket.socket) -> None:
    settings = collector.settings
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(settings.threads)
    channels: dict[int, Any] = {}
    server: Any = create_server(
        create_app(collector),
        map=channels,
        _dispatcher=dispatcher,
        sockets=[listener],
        # Ours says what to do; waitress's own answer is for what is absurdly larger.
        max_request_body_size=4 * settings.max_body,
        connection_limit=1000,
        channel_timeout=60,
        ident=None,
    )
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopping.append(number))
    print(f"listening on http://{_address(listener)}", flush=True)
    while not stopping:
        server.asyncore.loop(timeout=0.5, map=channels, count=1)
    server.accepting = False
    deadline = time.monotonic() + _DRAIN
    while any(c.requests for c in server.active_channels.values()) and time.monotonic() < deadline:
        server.asyncore.loop(timeout=0.1, map=channels, count=1)
    dispatcher.shutdown()
    server.close()


def _address(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
