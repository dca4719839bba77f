"""The page and its files, as built into web/dist, and the two health checks."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

from heapwatch_collector.context import Collector

DIST = Path(__file__).parent / "web" / "dist"

_YEAR = 365 * 86400

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Heapwatch</title>
<h1>Heapwatch</h1><p>The collector runs. Its page is not built yet: run <code>make page</code>.</p>
<p>The API is described by <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p></html>
"""


def routes(collector: Collector, dist: Path = DIST) -> Blueprint:
    """The routes for people and for whoever watches over the process."""
    doors = Blueprint("pages", __name__)

    @doors.get("/")
    def page() -> Response:
        if not (dist / "index.html").is_file():
            return Response(_NOT_BUILT, content_type="text/html; charset=utf-8")
        answer = send_from_directory(dist, "index.html")
        # The names of the other files change with their content; the page's own doesn't.
        answer.cache_control.no_cache = True
        return answer

    @doors.get("/assets/<path:name>")
    def asset(name: str) -> Response:
        return send_from_directory(dist / "assets", name, max_age=_YEAR)

    @doors.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", content_type="text/plain")

    @doors.get("/readyz")
    def readyz() -> Response:
        collector.store.rows("SELECT 1")
        return Response("ready\n", content_type="text/plain")

    return doors
