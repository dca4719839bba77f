"""What the control socket tells of requests, tasks and jobs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heapwatch_wire.metric import DURATION_BUCKETS

from heapwatch.instrument.distribution import Distribution
from heapwatch.instrument.endpoints import Totals

if TYPE_CHECKING:
    from heapwatch.agent import Agent


def requests(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """Sums by endpoint since the agent's start: seconds, estimated bytes, statements; bytes that live now.

    `in_flight` are those that run now; `durations` count requests by upper bounds in seconds, and beyond.
    """
    live: Counter[int] = Counter()
    for totals in agent.sampler.totals(live=True):
        live[totals.label] += round(totals.inuse_bytes)
    labels = agent.sampler.labels
    return {
        "pid": os.getpid(),
        "reason": agent.sampler.reason,
        "in_flight": 0 if agent.requests is None else len(agent.requests.in_flight.running),
        "endpoints": [
            {**_sums(totals), "live": live[labels.intern(totals.endpoint.name)]}
            for totals in (agent.requests.totals() if agent.requests is not None else [])
        ],
    }


def _sums(totals: Totals) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    every = Distribution(DURATION_BUCKETS)
    for outcome, taken in totals.outcomes.items():
        statuses[outcome.status] += _count(taken)
        every.merge(taken)
    return {
        "name": totals.endpoint.name,
        "kind": totals.endpoint.kind,
        "requests": totals.requests,
        "outcomes": dict(statuses),
        "seconds": every.sum,
        "durations": {"bounds": every.buckets, "counts": every.counts},
        "allocated": totals.allocated.sum,
        "retained": totals.retained,
        "peak": totals.peak.sum,
        "cpu": totals.cpu.sum,
        "cpu_requests": _count(totals.cpu),
        "gc": totals.gc.sum,
        "statements": totals.queries.sum,
        "statement_seconds": totals.query_seconds,
        "template_seconds": totals.template_seconds,
        "repeated": [
            {"statement": statement, "requests": repeat.requests, "most": repeat.most, "line": repeat.line}
            for statement, repeat in totals.repeats.items()
        ],
    }


def _count(distribution: Distribution) -> int:
    return sum(distribution.counts)
