"""CPU time that a request spends in worker threads of anyio, where FastAPI runs plain functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from heapwatch.instrument.cpu import CpuClock
from heapwatch.instrument.work import current


def instrument(to_thread: ModuleType) -> None:
    """Wrap `run_sync` of the module `anyio.to_thread`."""
    original = to_thread.run_sync

    def run_sync(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        running = current()
        if running is not None and running.cpu is not None:
            function = partial(_measured, running.cpu, function)
        return original(function, *args, **options)

    to_thread.run_sync = run_sync  # type: ignore[attr-defined]


def _measured(cpu: CpuClock, function: Callable[..., Any], *args: Any) -> Any:
    began = time.thread_time()
    try:
        return function(*args)
    finally:
        cpu.add(time.thread_time() - began)
