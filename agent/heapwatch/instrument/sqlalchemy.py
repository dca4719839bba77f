"""Statements that requests send through SQLAlchemy, of all engines, asynchronous ones too.

SQLAlchemy's events would tell the same, but take several times as long, for an engine with a listener goes
other ways. A dialect's do_execute and do_executemany are what stands between them and the driver.
"""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

from heapwatch.instrument.work import current

_METHODS = ("do_execute", "do_execute_no_params", "do_executemany")


def instrument(module: ModuleType) -> None:
    """Wrap what the dialects that are defined in the module do to execute a statement."""
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            for name in _METHODS:
                if name in vars(kind):
                    setattr(kind, name, _measured(vars(kind)[name]))


def _measured(original: Any) -> Any:
    def execute(self: Any, cursor: Any, statement: str, *args: Any, **options: Any) -> Any:
        running = current()
        if running is None:
            return original(self, cursor, statement, *args, **options)
        began = time.perf_counter()
        try:
            return original(self, cursor, statement, *args, **options)
        finally:
            running.executed(statement, time.perf_counter() - began)

    return execute
