"""Worker threads of anyio, where FastAPI and Starlette run plain functions: their CPU time, and their limits.

Starlette has called `anyio.to_thread.run_sync` by that name in all versions that stand on anyio.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.cpu import CpuClock
from heapwatch.instrument.requests import surrounding_request
from heapwatch.instrument.work import current


def instrument(to_thread: ModuleType) -> None:
    """Wrap `run_sync` of the module `anyio.to_thread`."""
    original = to_thread.run_sync

    def run_sync(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        running = current()
        if running is not None:
            if (guard := running.guard) is not None and (request := surrounding_request(running)) is not None:
                function = guard.lend(request, function)
            if running.cpu is not None:
                function = partial(_measured, running.cpu, function)
        return original(function, *args, **options)

    to_thread.run_sync = run_sync  # type: ignore[attr-defined]


def _measured(cpu: CpuClock, function: Callable[..., Any], *args: Any) -> Any:
    began = time.thread_time()
    try:
        return function(*args)
    finally:
        cpu.add(time.thread_time() - began)
