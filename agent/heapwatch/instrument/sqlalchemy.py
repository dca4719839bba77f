"""Statements that requests send through SQLAlchemy, by its events; of all engines, asynchronous ones too."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Any

from heapwatch.instrument.work import current

_BEGAN = "_heapwatch_began"


def instrument(engine: ModuleType) -> None:
    """Listen to all engines; `engine` is the module `sqlalchemy.engine`."""
    event = sys.modules["sqlalchemy.event"]
    event.listen(engine.Engine, "before_cursor_execute", _before)
    event.listen(engine.Engine, "after_cursor_execute", _after)


def _before(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
    if context is not None:
        setattr(context, _BEGAN, time.perf_counter())


def _after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
    running = current()
    if running is not None:
        now = time.perf_counter()
        running.executed(statement, now - getattr(context, _BEGAN, now))
