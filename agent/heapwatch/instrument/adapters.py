"""Which library is instrumented by what, as soon as the service imports it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from heapwatch.instrument import celery, django, flask, sqlalchemy, starlette, templates, threadpool
from heapwatch.instrument.hook import when_imported
from heapwatch.instrument.requests import Requests

SERVING: dict[str, Callable[[ModuleType, Requests], None]] = {
    "flask": flask.instrument,
    "starlette.applications": starlette.instrument_applications,
    "fastapi.applications": starlette.instrument_fastapi_applications,
    "django.core.handlers.wsgi": django.instrument_wsgi,
    "django.core.handlers.asgi": django.instrument_asgi,
    "celery.signals": celery.instrument,
}
"""Modules in which requests and tasks begin and end."""

INSIDE: dict[str, Callable[[ModuleType], None]] = {
    "starlette.routing": starlette.instrument_routing,
    "fastapi.routing": starlette.instrument_fastapi_routing,
    "django.core.handlers.base": django.instrument_routes,
    "django.db.backends.signals": django.instrument_databases,
    "django.template.base": templates.instrument,
    "jinja2.environment": templates.instrument,
    "sqlalchemy.engine": sqlalchemy.instrument,
    "anyio.to_thread": threadpool.instrument,
}
"""Modules that say what the running request does."""


def install(requests: Requests) -> None:
    """Instrument what is imported, now or later. Call it once in a process."""
    for name, serve in SERVING.items():
        when_imported(name, _bound(serve, requests))
    for name, action in INSIDE.items():
        when_imported(name, action)


def _bound(serve: Callable[[ModuleType, Requests], None], requests: Requests) -> Callable[[ModuleType], None]:
    return lambda module: serve(module, requests)
