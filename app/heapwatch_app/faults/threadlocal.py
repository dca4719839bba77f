"""Fault `threadlocal`: a trail of database statements, kept per thread, that nobody empties.

It was meant to be read at the end of each request. A server's threads live as long as the worker, so
what a request leaves in a thread local stays.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import has_request_context, request
from sqlalchemy import Engine, event

from heapwatch_app.faults import switches

STATEMENT_SHOWN = 600


class Trail(threading.local):
    """The statements of the present thread: what was asked, and for which route."""

    def __init__(self) -> None:
        self.records: list[str] = []


TRAIL = Trail()


def audit(engine: Engine) -> None:
    """Record the statements of `engine` while the fault is on."""

    @event.listens_for(engine, "before_cursor_execute")
    def executed(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if has_request_context() and switches.on("threadlocal"):
            record(statement, parameters, request.url_rule.rule if request.url_rule else "")


def record(statement: str, parameters: Any, route: str) -> None:
    """Append a statement to the trail of this thread."""
    TRAIL.records.append(f"{route}: {statement[:STATEMENT_SHOWN]} -- {parameters!r:.100}")
