"""The server of `benchmarks.copy_on_write`: gunicorn's configuration and a WSGI application in one module.

The main process loads a catalogue before it forks. A request reads a few entries and makes objects that live
for some hundred requests, so that the collector comes to its oldest generation by itself, as in a service.
"""

from __future__ import annotations

import gc
import json
import os
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import heapwatch

from benchmarks.catalogue import load

preload_app = True
READ = 5
MADE = 2000
KEPT = 100

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def pre_fork(server: object, worker: object) -> None:
    """gunicorn's hook before each fork."""
    if os.environ["BENCHMARK_MODE"] == "frozen":
        heapwatch.freeze()


if os.environ["BENCHMARK_MODE"] == "tuner":
    heapwatch.start(service="benchmark", gc_tuner="act")
catalogue = load(int(os.environ["BENCHMARK_HEAP"]))
recent: deque[list[list[int]]] = deque(maxlen=KEPT)


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Work as described above; the answer tells which worker it was and how often its collector ran."""
    names = [random.choice(catalogue)["name"] for _ in range(READ)]
    recent.append([[number] for number in range(MADE)])
    full = gc.get_stats()[-1]["collections"]
    body = json.dumps({"pid": os.getpid(), "full_collections": full, "names": names[:1]}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
