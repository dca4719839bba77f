"""Starlette, and FastAPI, which is built on it: every application is measured, by route template."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.asgi import AsgiMiddleware, request_of
from heapwatch.instrument.requests import Requests


def instrument_applications(applications: ModuleType, requests: Requests) -> None:
    """Wrap `Starlette` of the module `starlette.applications`."""
    _wrap_call(applications.Starlette, requests)


def instrument_fastapi_applications(applications: ModuleType, requests: Requests) -> None:
    """Wrap `FastAPI` of the module `fastapi.applications`, which does things before Starlette."""
    _wrap_call(applications.FastAPI, requests)


def instrument_routing(routing: ModuleType) -> None:
    """Listen in the module `starlette.routing` for routes, and for mounts, which are prefixes of routes."""
    _wrap_handle(routing.Route, lambda route, scope: route.path, final=True)
    _wrap_handle(routing.WebSocketRoute, lambda route, scope: route.path, final=True)
    _wrap_handle(routing.Mount, lambda route, scope: route.path, final=False)


def instrument_fastapi_routing(routing: ModuleType) -> None:
    """Listen in the module `fastapi.routing`, whose included routers have prefixes that routes don't know."""
    key = getattr(routing, "_FASTAPI_SCOPE_KEY", "")

    def path(route: Any, scope: Any) -> str:
        context = scope.get(key, {}).get("effective_route_context")
        if context is not None and context.original_route is route:
            return str(context.path_format)
        return str(route.path)

    if "handle" in vars(routing.APIRoute):
        _wrap_handle(routing.APIRoute, path, final=True)


def _wrap_call(kind: Any, requests: Requests) -> None:
    original = kind.__call__

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await AsgiMiddleware(partial(original, self), requests)(scope, receive, send)

    kind.__call__ = call


def _wrap_handle(kind: Any, path_of: Any, final: bool) -> None:
    original = kind.handle

    def handle(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        request = request_of(scope)
        if request is not None:
            if final:
                request.matched(request.prefix + path_of(self, scope))
            else:
                request.prefix += path_of(self, scope)
        return original(self, scope, receive, send)

    kind.handle = handle
