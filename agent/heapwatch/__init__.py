"""Always-on memory observability for Python services.

    import heapwatch
    heapwatch.start(service="shop", collector="http://127.0.0.1:4040")

Importing starts nothing, and loads nothing either before the first use: parts of this package, such as the
sampler, serve without the rest.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing would be loaded before what loading takes is measured

if TYPE_CHECKING:
    from typing import Any

    from heapwatch_wire.config import ConfigError

    from heapwatch.door import (
        asgi,
        checkpoint,
        freeze,
        on_pressure,
        optional,
        pause,
        phase,
        ready,
        resume,
        start,
        status,
        stop,
        tag,
        wsgi,
    )

__all__ = [
    "ConfigError",
    "asgi",
    "checkpoint",
    "freeze",
    "on_pressure",
    "optional",
    "pause",
    "phase",
    "ready",
    "resume",
    "start",
    "status",
    "stop",
    "tag",
    "wsgi",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from heapwatch.loading import loading

    door = loading.measure(lambda: import_module("heapwatch.door"))
    globals().update({known: getattr(door, known) for known in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
