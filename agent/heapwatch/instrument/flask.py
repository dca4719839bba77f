"""Flask: every application is measured, by route template."""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.wsgi import serve
from heapwatch.scopes import CURRENT


def instrument(flask: ModuleType, requests: Requests) -> None:
    """Wrap `Flask.wsgi_app` of the module `flask` and listen for matched routes."""
    original = flask.Flask.wsgi_app

    def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
        return serve(partial(original, self), requests, environ, start_response)

    flask.Flask.wsgi_app = wsgi_app
    flask.request_started.connect(matched, weak=False)


def matched(sender: Any, **_: Any) -> None:
    """Flask has found the route of the running request."""
    flask = sys.modules["flask"]
    running = CURRENT.get()
    if isinstance(running, Request):
        rule = flask.request.url_rule
        if rule is not None:
            running.matched(rule.rule)
