"""Which library is instrumented by what, as soon as the service imports it.

Adapters are named here and not imported: a process loads those of the libraries that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from heapwatch.instrument.hook import when_imported
from heapwatch.instrument.requests import Requests

SERVING = {
    "flask": "flask.instrument",
    "starlette.applications": "starlette.instrument_applications",
    "fastapi.applications": "starlette.instrument_fastapi_applications",
    "django.core.handlers.wsgi": "django.instrument_wsgi",
    "django.core.handlers.asgi": "django.instrument_asgi",
    "celery.signals": "celery.instrument",
}
"""Modules in which requests and tasks begin and end; functions here that take such a module and Requests."""

INSIDE = {
    "flask.ctx": "flask.instrument_routes",
    "starlette.routing": "starlette.instrument_routing",
    "fastapi.routing": "starlette.instrument_fastapi_routing",
    "django.core.handlers.base": "django.instrument_routes",
    "django.db.backends.signals": "django.instrument_databases",
    "django.template.base": "templates.instrument",
    "jinja2.environment": "templates.instrument",
    "sqlalchemy.engine.default": "sqlalchemy.instrument",
    "sqlalchemy.dialects.postgresql.psycopg2": "sqlalchemy.instrument",
    "sqlalchemy.dialects.mysql.mysqldb": "sqlalchemy.instrument",
    "anyio.to_thread": "threadpool.instrument",
}
"""Modules that say what the running request does; functions that take them."""


def install(requests: Requests) -> None:
    """Measure all applications that are imported, now or later. Call it once in a process."""
    for name, serve in SERVING.items():
        when_imported(name, _bound(serve, requests))
    look_inside()


@cache
def look_inside() -> None:
    """Have routes, statements and templates told to requests that are measured, from the first call on."""
    for name, action in INSIDE.items():
        when_imported(name, _bound(action))


def adapter(name: str) -> Callable[..., None]:
    """The function of that name, such as "flask.instrument"."""
    module, _, function = name.partition(".")
    found: Callable[..., None] = getattr(import_module(f"heapwatch.instrument.{module}"), function)
    return found


def _bound(name: str, *arguments: Any) -> Callable[[ModuleType], None]:
    return lambda module: adapter(name)(module, *arguments)
