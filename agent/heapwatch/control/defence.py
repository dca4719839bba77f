"""The control socket's answers about the defence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heapwatch.control.protocol import RequestError

if TYPE_CHECKING:
    from heapwatch.agent import Agent


def drain(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Make this worker take leave, also where the defence is off; `begun` is False when it does already."""
    requests = agent.requests
    if requests is None or not requests.serving:
        raise RequestError(
            "this process serves no HTTP requests", "name a worker; heapwatch requests PID shows who serves"
        )
    if agent.defence is None:
        # Loaded when it is wanted: see the assembly.
        from heapwatch.defence.assembly import make_defence

        agent.defence = make_defence(agent, requests, ())
    grace = agent.defence.grace
    begun = agent.defence.drain()
    way_out = agent.defence.way_out
    return {
        "pid": os.getpid(),
        "begun": begun,
        "running": len(requests.in_flight.running),
        "grace": grace,
        "signal": way_out.signal.name,
        "graceful": way_out.graceful,
    }
