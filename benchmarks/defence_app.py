"""A WSGI application whose every page leaks LEAK bytes; `/health` leaks nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import heapwatch

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LEAK = int(os.environ["LEAK"])
kept: list[bytes] = []


def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Says who serves: the server's name and the process id."""
    if environ["PATH_INFO"] != "/health":
        kept.append(os.urandom(LEAK))
    body = f"{os.environ['NAME']} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


application = heapwatch.wsgi(page)
