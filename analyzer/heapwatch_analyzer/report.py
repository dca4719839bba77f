"""Assembles the analysis of one service version from what the rooms found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from heapwatch_wire.analysis import Analysis, InstanceForecast
from heapwatch_wire.growth import THRESHOLDS
from heapwatch_wire.settings import AnalyzerSettings

from .anomalies import anomalies
from .forecasts import forecasts
from .history import NOTHING, Past
from .leaks import Verdicts, find
from .observations import Observations
from .rss import growing_instances
from .scaling import advise
from .units import duration, rate

QUIET_SPANS = 2.0
""""no leak" needs this many times the span in which the growth test finds a leak, after warm-up."""

Status = Literal["leak", "no leak", "learning"]


@dataclass(frozen=True)
class Rules:
    """What the status is decided by: `warmup` and `quiet` in seconds."""

    warmup: float
    quiet: float


def analyze(seen: Observations, settings: AnalyzerSettings, past: Past = NOTHING) -> Analysis:
    """The analysis of `seen` and of what the slow tier found: the same input gives the same answer."""
    thresholds = replace(THRESHOLDS, warmup=settings.warmup)
    rules = Rules(settings.warmup, QUIET_SPANS * thresholds.span)
    recent = forecasts(seen, settings.memory_limit, settings.warmup)
    growing = growing_instances(seen, thresholds, recent)
    slowly = {f.instance: f for f in past.growing if f.instance not in growing}
    expected = [slowly.get(f.instance, f) for f in recent]
    verdicts = find(seen, thresholds, expected, settings.memory_limit, past.leaks)
    status = _status(verdicts, rules)
    return Analysis(
        service=seen.service,
        version=seen.version,
        time=seen.time,
        window=seen.window,
        status=status,
        instances=len(seen.workers),
        verdicts=(*verdicts.leaks, *verdicts.suspicions),
        anomalies=tuple(anomalies(seen, settings.warmup)),
        forecasts=tuple(expected),
        recommendations=tuple(v.recommendation for v in verdicts.leaks if v.recommendation is not None),
        scaling=advise(seen, verdicts.leaks),
        notes=tuple(
            _notes(seen, verdicts, [f for f in expected if f.instance in {*growing, *slowly}], rules)
        ),
        statistics={"judged_seconds": verdicts.judged_seconds, "quiet_seconds": rules.quiet},
    )


def _status(verdicts: Verdicts, rules: Rules) -> Status:
    if verdicts.leaks:
        return "leak"
    return "no leak" if verdicts.judged_seconds >= rules.quiet else "learning"


def _notes(seen: Observations, verdicts: Verdicts, sure: list[InstanceForecast], rules: Rules) -> list[str]:
    """What else is to be said; `sure` are the forecasts of instances whose RSS surely grows."""
    notes = []
    if not seen.sites:
        notes.append("No memory profiles arrive: only growth of memory can be told, not what causes it.")
    elif not verdicts.leaks and verdicts.judged_seconds < rules.quiet:
        notes.append(
            f'Learning: {duration(verdicts.judged_seconds)} judged of {duration(rules.quiet)} that "no leak" '
            f"needs, after {duration(rules.warmup)} of warm-up."
        )
    if seen.unread:
        notes.append(
            f"{len(seen.unread)} reports of processes can't be read ({seen.unread[0]}): use the same version"
            " of agent and analyzer."
        )
    by_sites = sum(v.statistics["family_bytes_per_second"] for v in verdicts.leaks)
    growth = sum(f.bytes_per_second for f in sure)
    if sure and growth > 2 * by_sites:
        soonest = min((f.forecast.seconds for f in sure if f.forecast), default=None)
        limit = "" if soonest is None else f", limit in {duration(soonest)}"
        explained = (
            "no allocation site explains it" if not by_sites else "leaking sites explain less than half"
        )
        if any(v.parts for v in verdicts.suspicions):
            explained += ": see what grows outside of Python"
        notes.append(f"Growth of {rate(growth)} in {len(sure)} of {seen_count(seen)}{limit}; {explained}.")
    return notes


def seen_count(seen: Observations) -> str:
    """ "1 instance" or "N instances"."""
    count = len(seen.workers)
    return f"{count} instance" + ("s" if count != 1 else "")
