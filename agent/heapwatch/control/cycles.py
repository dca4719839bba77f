"""The control socket's answer about reference cycles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heapwatch.control.params import need_samples, seconds
from heapwatch.leaks.garbage import CycleSite, uncollectable, watch
from heapwatch.threads import sleep

if TYPE_CHECKING:
    from heapwatch.agent import Agent

DEFAULT = 10.0
LONGEST = 120.0


def cycles(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """What full collections of the next `seconds` free, by site, with the cycles that hold it.

    With `collect` one is run if none comes by itself.
    """
    need_samples(agent)
    watched = seconds(params, "seconds", DEFAULT, LONGEST)
    budget = agent.settings.holders_budget
    freed, sites = watch(agent.sampler, watched, budget, params.get("collect") is True, sleep)
    return {
        "pid": agent.identity.pid,
        "seconds": watched,
        "collections": freed.collections,
        "collected": freed.collected,
        "uncollectable": uncollectable(),
        "sites": [_site(site) for site in sites],
    }


def _site(found: CycleSite) -> dict[str, Any]:
    """The site as JSON values, each cycle once with how many of the examined objects hang on it."""
    counts: dict[str, dict[str, Any]] = {}
    for cycle in found.outcome.cycles:
        counts.setdefault(cycle.path, {**asdict(cycle), "objects": 0})["objects"] += 1
    return {
        "site": asdict(found.site),
        "bytes": found.bytes,
        "objects": found.objects,
        "share": found.share,
        "type": found.outcome.type,
        "cycles": sorted(counts.values(), key=lambda cycle: -cycle["objects"]),
        "reasons": list(found.outcome.reasons),
    }
