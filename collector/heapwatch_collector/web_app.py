"""The WSGI application: all routes, who may call them, and how refusals are answered."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from heapwatch_collector import openapi, pages, prometheus
from heapwatch_collector.context import Collector, signal_of
from heapwatch_collector.errors import Refusal
from heapwatch_collector.query import api, querier
from heapwatch_collector.receive import routes as receive

log = logging.getLogger(__name__)

_OPEN_ENDPOINTS = {"pages.healthz", "pages.readyz", "pages.page", "pages.asset"}
_CONNECT_PATHS = ("/querier.v1.", "/push.v1.")


def create_app(collector: Collector, dist: Path = pages.DIST) -> Flask:
    """The application that serves `collector`; `dist` holds the built page."""
    app = Flask(__name__, static_folder=None)
    for blueprint in (
        receive.routes(collector),
        querier.routes(collector),
        api.routes(collector),
        prometheus.routes(collector),
        openapi.routes(),
        pages.routes(collector, dist),
    ):
        app.register_blueprint(blueprint)
    app.before_request(lambda: _admit(collector.settings.token))
    app.register_error_handler(Refusal, _refuse)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ClickHouseError, _store_error)
    app.register_error_handler(Exception, _unexpected)

    @app.after_request
    def finish(answer: Response) -> Response:
        signal = signal_of(request)
        if signal and answer.status_code >= 400:
            collector.telemetry.rejected(signal, answer.status_code)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["X-Frame-Options"] = "DENY"
        return answer

    return app


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine seen from itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _admit(token: str) -> None:
    """Check the token, and that no other site's page drives the caller's browser against us.

    Without a token only loopback is served; a foreign name in Host is then a page that had its own name
    resolve to us.

    The page's own files hold no data and are open, so that the page can ask for the token.
    """
    origin = request.headers.get("Origin")
    if origin and urlsplit(origin).netloc != request.host:
        raise Refusal(
            403, f"a page of {origin[:200]} may not call this collector", "open the collector's own page"
        )
    if not token and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        raise Refusal(
            403,
            f"the collector is not served as {request.host[:200]}",
            "call it by 127.0.0.1, or set HEAPWATCH_TOKEN",
        )
    if not token or request.endpoint in _OPEN_ENDPOINTS:
        return
    sent = request.headers.get("Authorization", "")
    if not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()):
        raise Refusal(
            401, "the token is missing or wrong", "send 'Authorization: Bearer TOKEN' (HEAPWATCH_TOKEN)"
        )


def _refuse(refusal: Refusal) -> Response:
    if request.path.startswith(_CONNECT_PATHS):
        body = {"code": refusal.code, "message": f"{refusal.reason}: {refusal.mend}"}
    else:
        body = {"error": refusal.reason, "mend": refusal.mend}
    answer = Response(json.dumps(body), status=refusal.status, content_type="application/json")
    if refusal.retry_after is not None:
        answer.headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="heapwatch"'
    return answer


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    mend = "see /api/v1/openapi.json for what there is"
    answer = _refuse(Refusal(status, error.description or error.name, mend))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    return answer


def _store_error(error: ClickHouseError) -> Response:
    text = str(error)
    if "CANNOT_COMPILE_REGEXP" in text:
        return _refuse(
            Refusal(400, "a regular expression in the selector is broken", "write it in RE2's syntax")
        )
    log.error("a query failed: %s", text)
    return _refuse(
        Refusal(503, "the store could not answer", "try again; the collector's log has the reason")
    )


def _unexpected(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _refuse(
        Refusal(500, "the collector failed on this request", "see the collector's log, and report it")
    )
