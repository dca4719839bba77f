"""Flask applications of one route, as the adapter measures them and as they are without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

import flask
from flask import Flask
from heapwatch.instrument import flask as flask_adapter
from heapwatch.instrument import sqlalchemy as adapter
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.wsgi import WsgiMiddleware

Serve: TypeAlias = Callable[[Any], None]
"""Makes one request of a WSGI application."""
Case: TypeAlias = tuple[Callable[[], None], Callable[[], None]]
"""Handles one request with ours, and without."""


class PlainContext(flask.ctx.RequestContext):
    """As it is before the adapter listens for routes."""

    match_request = flask.ctx.RequestContext.match_request


class PlainFlask(Flask):
    """Whose requests aren't measured."""

    def request_context(self, environ: Any) -> PlainContext:
        return PlainContext(self, environ)


def shop(view: Callable[[], str], kind: type[Flask] = PlainFlask) -> Flask:
    """A Flask application of one route."""
    app = kind("shop")
    app.add_url_rule("/p/<int:number>", view_func=lambda number: view())
    return app


def page(requests: Requests, serve: Serve) -> Case:
    """Flask."""
    measured, plain = measured_flask(shop(lambda: "ok", Flask), requests), shop(lambda: "ok").wsgi_app
    return lambda: serve(measured), lambda: serve(plain)


def statements(requests: Requests, serve: Serve, count: int) -> Case:
    """Flask with `count` statements through SQLAlchemy, all the same: the N+1 that costs most."""
    sqlalchemy: Any = import_module("sqlalchemy")  # not where instructions of a page alone are counted
    engines = [sqlalchemy.create_engine("sqlite://") for _ in range(2)]
    plain: Any = engines[1].dialect
    for name in ("do_execute", "do_execute_no_params"):  # as they are before the adapter wraps them
        setattr(plain, name, getattr(plain, name))
    adapter.instrument(sys.modules["sqlalchemy.engine.default"])

    def view(engine: Any) -> str:
        with engine.connect() as connection:
            for number in range(count):
                connection.execute(sqlalchemy.text("SELECT :number"), {"number": number}).scalar()
        return "ok"

    measured = measured_flask(shop(lambda: view(engines[0]), Flask), requests)
    plain = shop(lambda: view(engines[1])).wsgi_app
    return lambda: serve(measured), lambda: serve(plain)


def measured_flask(app: Flask, requests: Requests) -> Any:
    """The application, measured as the adapter of Flask measures all."""
    listen()
    return WsgiMiddleware(app.wsgi_app, requests)


@cache
def listen() -> None:
    """Hear of routes, once."""
    flask_adapter.instrument_routes(flask.ctx)
