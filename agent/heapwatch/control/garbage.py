"""The control socket's answers about the garbage collector."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from heapwatch.control.protocol import RequestError
from heapwatch.gctuner.tuner import MODES, Tuner
from heapwatch.process import ProcessReader

if TYPE_CHECKING:
    from heapwatch.agent import Agent

RECENT_PAUSES = 20


def collector(agent: Agent, params: Mapping[str, Any]) -> dict[str, Any]:
    """The garbage collector: action "stats", "collect" (a full collection), "freeze", "tune" to a `mode`, or
    "pauses" alone, those that ended after the Unix time `since`.

    Bytes and seconds; "pauses" are the last ones, the newest first; "pause_generations" count since the
    agent's start, with quantiles of the last ones, from the youngest generation to the oldest.
    """
    if params.get("action") == "pauses":
        return {"pauses": _pauses_since(agent.tuner, params.get("since", 0.0))}
    before = ProcessReader().resident().rss
    done = _act(agent.tuner, params)
    return {
        **done,
        "enabled": gc.isenabled(),
        "thresholds": list(gc.get_threshold()),
        "counts": list(gc.get_count()),
        "frozen": gc.get_freeze_count(),
        "uncollectable": len(gc.garbage),
        "generations": gc.get_stats(),
        "rss_before": before,
        "rss": ProcessReader().resident().rss,
        **_observed(agent.tuner),
    }


def _act(tuner: Tuner | None, params: Mapping[str, Any]) -> dict[str, Any]:
    action, mode, began = params.get("action", "stats"), params.get("mode"), time.perf_counter()
    if action == "collect":
        return {"collected": gc.collect(), "seconds": time.perf_counter() - began}
    if action == "freeze":
        if tuner is None:
            gc.freeze()
        else:
            tuner.freeze()
    elif action == "tune":
        if mode not in MODES:
            raise RequestError(f"unknown mode {mode!r:.40}", f"known are {', '.join(MODES)}")
        if tuner is None:
            raise RequestError("this agent has no tuner")
        tuner.set_mode(mode)
    elif action != "stats":
        raise RequestError(f"unknown action {action!r:.40}", "known are stats, collect, freeze, tune, pauses")
    return {}


def _pauses_since(tuner: Tuner | None, since: Any) -> list[dict[str, Any]]:
    if not isinstance(since, int | float):
        raise RequestError(f"since {since!r:.40} is no time", "it takes Unix seconds")
    return [asdict(pause) for pause in tuner.stats.recent() if pause.time > since] if tuner else []


def _observed(tuner: Tuner | None) -> dict[str, Any]:
    if tuner is None:
        return {"tuner": None, "pauses": [], "pause_quantiles": {}, "pause_generations": []}
    stats = tuner.stats
    return {
        "tuner": tuner.status(),
        "pauses": [asdict(pause) for pause in stats.recent(RECENT_PAUSES)],
        "pause_quantiles": {"inside": stats.quantiles(inside=True), "outside": stats.quantiles(inside=False)},
        "pause_generations": [
            {
                "collections": generation.collections,
                "collected": generation.collected,
                "seconds": generation.pause_sum,
                "quantiles": stats.generation_quantiles(number),
            }
            for number, generation in enumerate(stats.generations())
        ],
    }
