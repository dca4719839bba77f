"""The application of `benchmarks.gc_tuner`: a large heap, a cache that turns over, cyclic pages."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import heapwatch
from flask import Flask, jsonify

ENTRIES = 1500
ROWS = 250
BRANCHES = 60


class Post:
    """Three objects that the collector tracks."""

    __slots__ = ("comments", "likes", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.likes = [number]
        self.comments = [str(number)]


class Branch:
    """A part of a page under construction: it knows its parent, so a page is garbage in a cycle."""

    def __init__(self, parent: Branch | None) -> None:
        self.parent = parent
        self.children: list[Branch] = []
        if parent is not None:
            parent.children.append(self)


class Pauses:
    """Collections as the application sees them, and what each request suffered of them."""

    def __init__(self) -> None:
        self.total = 0.0
        self._began = 0.0
        gc.callbacks.append(self._collected)
        self.reset()

    def reset(self) -> None:
        self.since = time.perf_counter()
        self.at_reset = self.total
        self.cpu_at_reset = time.process_time()
        self.suffered: list[float] = []

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.total += time.perf_counter() - self._began


heapwatch.start(service="benchmark")
posts = [Post(number) for number in range(int(os.environ["OBJECTS"]) // 3)]
cache: OrderedDict[int, list[Post]] = OrderedDict()
lock = threading.Lock()
pauses = Pauses()
app = Flask(__name__)


@app.get("/page/<int:number>")
def page(number: int) -> str:
    with lock:
        rows = cache.get(number)
        if rows is None:
            rows = cache[number] = [Post(number + row) for row in range(ROWS)]
            if len(cache) > ENTRIES:
                cache.popitem(last=False)
    root = Branch(None)
    for row in rows[:BRANCHES]:
        Branch(Branch(root)).number = row.number  # type: ignore[attr-defined]
    return ",".join(str(row.number) for row in rows)


@app.get("/state")
def state() -> Any:
    return jsonify(frozen=gc.get_freeze_count(), thresholds=gc.get_threshold())


@app.get("/reset")
def reset() -> str:
    pauses.reset()
    return ""


@app.get("/figures")
def figures() -> Any:
    ordered = sorted(pauses.suffered)
    seen = [pause for pause in ordered if pause]
    memory = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return jsonify(
        pause_p99=_quantile(ordered, 0.99),
        pause_p999=_quantile(ordered, 0.999),
        pause_longest=_quantile(ordered, 1.0),
        pause_seen_p99=_quantile(seen, 0.99),
        pause_share=(pauses.total - pauses.at_reset) / (time.perf_counter() - pauses.since),
        cpu_per_request=(time.process_time() - pauses.cpu_at_reset) / max(1, len(ordered)),
        rss=int(memory["VmRSS"].split()[0]) * 1024,
        peak=int(memory["VmHWM"].split()[0]) * 1024,
    )


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """The application, whose requests are measured one by one until their body is complete."""
    before = pauses.total
    body = app(environ, start_response)
    try:
        yield from body
    finally:
        pauses.suffered.append(pauses.total - before)
        close = getattr(body, "close", None)
        if close is not None:
            close()
