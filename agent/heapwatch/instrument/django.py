"""Django: every application is measured, by route, under WSGI and ASGI; its statements and templates, too."""

from __future__ import annotations

import time
from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.asgi import AsgiMiddleware, by_steps
from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.work import current
from heapwatch.instrument.wsgi import serve


def instrument_wsgi(module: ModuleType, requests: Requests) -> None:
    """Wrap `WSGIHandler` of the module `django.core.handlers.wsgi`."""
    original = module.WSGIHandler.__call__

    def call(self: Any, environ: Any, start_response: Any) -> Any:
        return serve(partial(original, self), requests, environ, start_response)

    module.WSGIHandler.__call__ = call


def instrument_asgi(module: ModuleType, requests: Requests) -> None:
    """Wrap `ASGIHandler` of the module `django.core.handlers.asgi`, and the task that makes its response."""
    handler = module.ASGIHandler
    original, original_run = handler.__call__, handler.run_get_response

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await AsgiMiddleware(partial(original, self), requests)(scope, receive, send)
        else:
            await original(self, scope, receive, send)

    async def run_get_response(self: Any, request: Any) -> Any:
        running = current()
        response = original_run(self, request)
        return await (response if running is None or running.cpu is None else by_steps(running.cpu, response))

    handler.__call__, handler.run_get_response = call, run_get_response


def instrument_routes(module: ModuleType) -> None:
    """Listen in `BaseHandler` of the module `django.core.handlers.base` for matched routes."""
    original = module.BaseHandler.resolve_request

    def resolve_request(self: Any, request: Any) -> Any:
        match = original(self, request)
        running = current()
        if isinstance(running, Request):
            running.matched("/" + match.route)
        return match

    module.BaseHandler.resolve_request = resolve_request


def instrument_databases(module: ModuleType) -> None:
    """Count the statements of connections, by the signal of the module `django.db.backends.signals`."""

    def created(sender: Any, connection: Any, **_: Any) -> None:
        if _execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(_execute)

    module.connection_created.connect(created, weak=False, dispatch_uid="heapwatch")


def _execute(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    running = current()
    if running is None:
        return execute(sql, params, many, context)
    began = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        running.executed(sql, time.perf_counter() - began)
