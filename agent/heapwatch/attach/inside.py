"""The first thing of this package that runs in the process that is attached to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heapwatch.control.paths import runtime_folder
from heapwatch.door import host, stop


def start(settings: dict[str, str]) -> tuple[dict[str, Any], Callable[[], None] | None]:
    """Start the agent; what to report, and what undoes it. Whatever it raises says why it didn't start."""
    if host.agent is not None:
        return {"running": True}, None
    host.start({**settings, "enabled": True})
    agent = host.agent
    if agent is None:
        raise RuntimeError("the agent didn't start")
    if host.waiting:
        stop()
        raise RuntimeError("it is uWSGI's master, whose workers an agent's thread may hang")
    report = {
        "running": False,
        "python": agent.identity.runtime_version,
        "folder": str(runtime_folder(agent.settings.runtime_dir)),
        "service": agent.identity.service,
        "reason": agent.sampler.reason,
        "interval": agent.sampler.stats().get("interval", 0),
    }
    return report, stop
