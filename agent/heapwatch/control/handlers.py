"""What the control socket answers. A handler takes the agent and the params, returns JSON values."""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from heapwatch_wire.evidence import to_json
from heapwatch_wire.sites import site_id

from heapwatch.control.census import census
from heapwatch.control.cycles import cycles
from heapwatch.control.defence import drain
from heapwatch.control.garbage import collector
from heapwatch.control.params import need_samples, whole_number
from heapwatch.control.protocol import RequestError
from heapwatch.control.requests import requests
from heapwatch.inheritance import inherited_bytes
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.process import ProcessReader

if TYPE_CHECKING:
    from heapwatch.agent import Agent

Handler = Callable[["Agent", Mapping[str, Any]], Any]

MAX_SITES = 1000
HOLDERS_LIMIT = 20.0
RECENT = 60.0


def info(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Who this process is and how large. Bytes, seconds; `watched`: since the agent began."""
    identity, memory, stats = agent.identity, ProcessReader().resident(), agent.sampler.stats()
    return {
        "pid": identity.pid,
        "service": identity.service,
        "version": identity.version,
        "instance": identity.instance,
        "python": identity.runtime_version,
        "started": identity.started,
        "uptime": time.time() - identity.started,
        "watched": time.time() - agent.began,
        "rss": memory.rss,
        "peak": memory.highest,
        "live_bytes": stats.get("live_bytes", 0),
        "live_objects": stats.get("live_objects", 0),
        "interval": stats.get("interval", 0),
        "collector": agent.settings.collector,
        "reason": agent.sampler.reason,
    }


def stats(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """The agent and its leak tracker about themselves."""
    return {"agent": agent.status(), "leaks": _tracker(agent).status()}


def top(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """The sites with most live bytes; growth is bytes per second over the last minute.

    Of the live bytes `inherited_bytes` were made before this process was forked.
    """
    limit = whole_number(params, "limit", 20, 1, MAX_SITES)
    need_samples(agent)
    sites = sorted(_tracker(agent).sites().values(), key=lambda totals: -totals.live_bytes)[:limit]
    inherited = inherited_bytes(agent.sampler, agent.forked, sites) if agent.forked else [0.0] * len(sites)
    return {
        **info(agent, params),
        "time": time.time(),
        "sites": [
            {
                "id": site_id(totals.frame),
                "function": totals.frame.function,
                "file": totals.frame.file,
                "line": totals.frame.line,
                "live_bytes": totals.live_bytes,
                "live_objects": totals.live_objects,
                "alloc_bytes": totals.alloc_bytes,
                "alloc_objects": totals.alloc_objects,
                "inherited_bytes": before,
                "growth": _recent_growth(_tracker(agent).points(totals.frame)),
            }
            for totals, before in zip(sites, inherited, strict=True)
        ],
    }


def leaks(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence documents of the sites that grow now, and of what grows that no site explains."""
    need_samples(agent)
    documents = [*_tracker(agent).suspicions(), *agent.outside.documents(time.time())]
    return {**info(agent, params), "documents": [to_json(document) for document in documents]}


def holders(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """What holds the objects of `site`, searched now."""
    site = params.get("site")
    if not isinstance(site, str):
        raise RequestError("holders needs a site", "give the id that top or leaks shows")
    need_samples(agent)
    found = _tracker(agent).hold(site, HOLDERS_LIMIT)
    if found is None:
        raise RequestError(f"no live samples of a site {site:.40}", "take an id that top or leaks shows")
    described, outcome = found
    return {
        "site": to_json(described),
        "type": outcome.type,
        "holders": [to_json(holder) for holder in outcome.holders],
        "reasons": list(outcome.reasons),
    }


def snapshot(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """The profile of this moment, or with `peak` of when most lived: gzipped pprof in base64."""
    need_samples(agent)
    data = agent.profiles.peak() if params.get("peak") else agent.profiles.snapshot(time.time())
    return {"pprof": binascii.b2a_base64(data, newline=False).decode("ascii")}


def pause(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Take no samples until `resume`; ends of live samples are still seen."""
    need_samples(agent)
    agent.sampler.stop()
    return _sampling(agent)


def resume(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Take samples again, at the interval that was in force."""
    need_samples(agent)
    agent.sampler.start()
    return _sampling(agent)


def trim(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Give unused memory of the C library's allocator back to the kernel."""
    before, started = ProcessReader().resident().rss, time.perf_counter()
    if not agent.memory.trim():
        raise RequestError("malloc can't be asked to trim here", "trim needs glibc, jemalloc or mimalloc")
    return {
        "rss_before": before,
        "rss": ProcessReader().resident().rss,
        "seconds": time.perf_counter() - started,
    }


def memory(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """RSS in parts as `Breakdown.to_json`; `peak`, `phases`, and the `agent_bytes` among the used."""
    return {
        **agent.memory.breakdown().to_json(),
        "peak": ProcessReader().resident().highest,
        "agent_bytes": agent.sampler.stats().get("agent_bytes", 0),
        "phases": {
            name: {
                "runs": sum(runs.counts),
                "seconds": runs.seconds,
                "peak": runs.highest,
                "growth": runs.growth,
            }
            for name, runs in agent.phases.runs().items()
        },
    }


def stop(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """End the agent: it sends what waits, samples no more, and its socket goes away."""
    agent.leave()
    return {"stopped": True}


HANDLERS: dict[str, Handler] = {
    "info": info,
    "stats": stats,
    "top": top,
    "leaks": leaks,
    "holders": holders,
    "census": census,
    "cycles": cycles,
    "snapshot": snapshot,
    "pause": pause,
    "resume": resume,
    "gc": collector,
    "trim": trim,
    "drain": drain,
    "memory": memory,
    "requests": requests,
    "stop": stop,
}


def _sampling(agent: Agent) -> dict[str, Any]:
    stats = agent.sampler.stats()
    return {key: stats.get(key, 0) for key in ("enabled", "interval", "live_samples")}


def _tracker(agent: Agent) -> LeakTracker:
    if not isinstance(agent.leaks, LeakTracker):
        raise RequestError("this agent does not track leaks")
    return agent.leaks


def _recent_growth(points: list[tuple[float, float, float]]) -> float:
    recent = [p for p in points if p[0] >= points[-1][0] - RECENT] if points else []
    if len(recent) < 2 or recent[-1][0] == recent[0][0]:
        return 0.0
    return (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0])
