"""The server of `benchmarks.gc_tuner`: gunicorn's configuration, and the reference service with a large heap.

Each answer tells in a header what its request suffered, since only the process itself knows.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import heapwatch
from heapwatch_app.web import create_app

from benchmarks.catalogue import load
from benchmarks.gc_tuner_load import HEADER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

preload_app = True


class Pauses:
    """Nanoseconds that collections took so far, in CPU time of the thread that collected."""

    def __init__(self) -> None:
        self.total = 0
        self._began = 0
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        now = time.thread_time_ns()
        if phase == "start":
            self._began = now
        else:
            self.total += now - self._began


heapwatch.start(service="benchmark")
catalogue = load(int(os.environ.get("BENCHMARK_HEAP", "0")))
service = create_app()
pauses = Pauses()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The reference service; its answers are made before the header is, and carry HEADER."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        begun.append((status, headers))

    before, own = pauses.total, time.thread_time_ns()
    body = service(environ, start)
    status, headers = begun[-1]
    suffered = f"{pauses.total - before} {time.thread_time_ns() - own}"
    start_response(status, [*headers, (HEADER, suffered)])
    return body
