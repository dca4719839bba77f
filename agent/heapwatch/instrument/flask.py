"""Flask: applications are measured by route template."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.wsgi import REQUEST_KEY, serve


def instrument(flask: ModuleType, requests: Requests) -> None:
    """Wrap `Flask.wsgi_app` of the module `flask`."""
    original = flask.Flask.wsgi_app

    def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
        return serve(partial(original, self), requests, environ, start_response)

    flask.Flask.wsgi_app = wsgi_app


def instrument_routes(ctx: ModuleType) -> None:
    """Listen in the module `flask.ctx` for matched routes.

    The signal request_started would tell them later and at several times the cost.
    """
    context: Any = vars(ctx).get("RequestContext") or vars(ctx)["AppContext"]  # one thing since Flask 3.2
    original = context.match_request

    def match_request(self: Any) -> None:
        original(self)
        asked = self.request
        request, rule = asked.environ.get(REQUEST_KEY), asked.url_rule
        if rule is not None and isinstance(request, Request):
            request.matched(rule.rule)

    context.match_request = match_request
