"""Flask: every application is measured, by route template."""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.wsgi import REQUEST_KEY, WsgiMiddleware


def instrument(flask: ModuleType, requests: Requests) -> None:
    """Wrap `Flask.wsgi_app` of the module `flask` and listen for matched routes."""
    original = flask.Flask.wsgi_app

    def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
        return WsgiMiddleware(partial(original, self), requests)(environ, start_response)

    flask.Flask.wsgi_app = wsgi_app
    flask.request_started.connect(_matched, weak=False)


def _matched(sender: Any, **_: Any) -> None:
    flask = sys.modules["flask"]
    running = flask.request.environ.get(REQUEST_KEY)
    rule = flask.request.url_rule
    if isinstance(running, Request) and rule is not None:
        running.matched(rule.rule)
