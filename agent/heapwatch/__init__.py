"""Always-on memory observability for Python services.

    import heapwatch
    heapwatch.start(service="shop", collector="http://127.0.0.1:4040")

Importing starts nothing.
"""

from heapwatch_wire.config import ConfigError

from heapwatch.door import asgi, checkpoint, freeze, phase, start, status, stop, tag, wsgi

__all__ = ["ConfigError", "asgi", "checkpoint", "freeze", "phase", "start", "status", "stop", "tag", "wsgi"]
