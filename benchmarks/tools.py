"""What may observe a workload, and how each is started inside the process, at its defaults unless named."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable

KIB = 1 << 10


def heapwatch(interval: int, max_depth: int = 128) -> None:
    importlib.import_module("heapwatch._sampler").start(interval, max_depth)


def heapwatch_auto() -> None:
    """The sampler with the interval that holds its CPU budget, as in the agent."""
    settings = importlib.import_module("heapwatch_wire.settings").AgentSettings()
    module = importlib.import_module("heapwatch.sampler")
    budget = importlib.import_module("heapwatch.budget")
    sampler = module.open_sampler(settings.sampling_interval, settings.max_depth)
    if sampler.reason:
        raise RuntimeError(sampler.reason)
    keeper = budget.SamplingBudget(sampler, settings.sampling_budget, settings.sampling_interval)
    asleep = threading.Event()

    def keep() -> None:
        while not asleep.wait(budget.LOOK):
            keeper.look(0.0)

    threading.Thread(target=keep, daemon=True).start()


def heapwatch_agent() -> None:
    """Everything that runs in a service, but nobody to send it to."""
    importlib.import_module("heapwatch").start(service="benchmark")


def ddtrace(interval: int) -> None:
    importlib.import_module("ddtrace.profiling.collector._memalloc").start(64, interval, False)


def pyroscope(interval: int) -> None:
    importlib.import_module("pyroscope").configure(
        app_name="benchmark",
        server_address="http://127.0.0.1:9",  # nobody listens: what is measured is the sampling
        cpu_enabled=False,
        mem_enabled=True,
        mem_heap_sample_size=interval,
    )


def memray() -> None:
    module = importlib.import_module("memray")
    module.Tracker(destination=module.FileDestination("/dev/null", overwrite=True)).__enter__()


def tracemalloc() -> None:
    importlib.import_module("tracemalloc").start(1)


def heapwatch_stopped() -> None:
    """Hooks that stand and never sample."""
    heapwatch(1 << 30)
    importlib.import_module("heapwatch._sampler").stop()


TOOLS: dict[str, tuple[str, Callable[[], None]]] = {
    "none": ("sys", lambda: None),
    "heapwatch-stopped": ("heapwatch", heapwatch_stopped),
    "heapwatch-512k": ("heapwatch", lambda: heapwatch(512 * KIB)),
    "heapwatch-64k": ("heapwatch", lambda: heapwatch(64 * KIB)),
    "heapwatch-8k": ("heapwatch", lambda: heapwatch(8 * KIB)),
    "heapwatch-auto": ("heapwatch", heapwatch_auto),
    "heapwatch-agent": ("heapwatch", heapwatch_agent),
    "ddtrace-1m": ("ddtrace", lambda: ddtrace(1024 * KIB)),
    "ddtrace-64k": ("ddtrace", lambda: ddtrace(64 * KIB)),
    "pyroscope-512k": ("pyroscope", lambda: pyroscope(512 * KIB)),
    "memray": ("memray", memray),
    "tracemalloc": ("tracemalloc", tracemalloc),
}
"""Name -> (module that must be installed, how to start it)."""
