"""Celery: every task is measured by its name, in workers and where tasks run eagerly."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from heapwatch.instrument.requests import Requests

_RUNNING = "_heapwatch_work"


def instrument(signals: ModuleType, requests: Requests) -> None:
    """Listen to the signals of the module `celery.signals`."""

    def began(sender: Any, task: Any, **_: Any) -> None:
        setattr(task.request, _RUNNING, requests.begin_task(f"task {task.name}"))

    def ended(sender: Any, task: Any, state: str | None = None, **_: Any) -> None:
        work = getattr(task.request, _RUNNING, None)
        if work is not None:
            work.status = (state or "unknown").lower()
            work.end()
            requests.in_flight.boundary()

    signals.task_prerun.connect(began, weak=False, dispatch_uid="heapwatch")
    signals.task_postrun.connect(ended, weak=False, dispatch_uid="heapwatch")
