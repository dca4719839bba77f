"""An analysis as one screen of text."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from heapwatch_wire.analysis import Analysis, InstanceForecast
from heapwatch_wire.evidence import Evidence, Forecast

from .units import duration, mebibytes, rate

MOST_FORECASTS = 4
MOST_HOLDERS = 3


def render(analysis: Analysis) -> str:
    """`analysis` for a terminal, without colours."""
    version = f" {analysis.version}" if analysis.version else ""
    head = (
        f"{analysis.service}{version}: {analysis.status}"
        f"   ({_count(analysis.instances, 'instance')}, last {duration(analysis.window)})"
    )
    lines = [head]
    for verdict in analysis.verdicts:
        lines += ["", *_verdict(verdict)] if verdict.verdict == "leak" else []
    suspicions = [v for v in analysis.verdicts if v.verdict == "suspicion"]
    if suspicions:
        lines += ["", "Grow, not yet proved:"]
        lines += [f"  {v.site.function} ({v.site.file}:{v.site.line})  {_growth(v)}" for v in suspicions]
    lines += _section("Memory", (_forecast_line(f) for f in analysis.forecasts[:MOST_FORECASTS]))
    lines += _section("Anomalies", (f"{a.text} (score {a.score:.2f})" for a in analysis.anomalies))
    if analysis.scaling is not None:
        lines += ["", f"Scaling: {analysis.scaling.action}. {analysis.scaling.text}"]
    lines += _section("Notes", iter(analysis.notes))
    return "\n".join(lines)


def progress(analysis: Analysis) -> str:
    """`analysis` in one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(analysis.time))
    leaks = sum(v.verdict == "leak" for v in analysis.verdicts)
    growth = sum(f.bytes_per_second for f in analysis.forecasts)
    return (
        f"{clock} {analysis.service} {analysis.version}".rstrip()
        + f": {analysis.status}, {_count(leaks, 'leak')}, {_count(analysis.instances, 'instance')}, "
        f"memory {rate(growth)}, {duration(analysis.statistics.get('judged_seconds', 0.0))} judged"
    )


def _verdict(evidence: Evidence) -> Iterator[str]:
    site = evidence.site
    kind = f" of {evidence.type}" if evidence.type else ""
    yield f"LEAK{kind} at {site.function} ({site.file}:{site.line})"
    if site.caller is not None and (site.caller.file, site.caller.line) != (site.file, site.line):
        yield f"  called from  {site.caller}"
    yield f"  grows        {_growth(evidence)}"
    yield f"  live         {mebibytes(evidence.live_bytes)} in {evidence.live_objects:,.0f} objects"
    for holder in evidence.holders[:MOST_HOLDERS]:
        yield f"  held by      {holder.path} ({holder.root}, {holder.share:.0%} of examined objects)"
    if evidence.endpoints:
        yield "  made by      " + ", ".join(f"{e.name} ({e.share:.0%})" for e in evidence.endpoints[:3])
    yield f"  in           {evidence.growing} of {_count(evidence.instances, 'instance')}"
    if evidence.forecast is not None:
        yield f"  limit        {_forecast(evidence.forecast)}"
    for reason in evidence.reasons:
        yield f"  because      {reason}"
    if evidence.recommendation is not None:
        yield f"  change       {evidence.recommendation.title}"
        yield f"               {evidence.recommendation.text}"


def _growth(evidence: Evidence) -> str:
    growth = evidence.growth
    interval = f"{rate(growth.low)} to {rate(growth.high)} at {growth.confidence:.0%}"
    return f"{rate(growth.bytes_per_second)} ({interval}), {growth.objects_per_second * 60:,.0f} objects/min"


def _forecast_line(forecast: InstanceForecast) -> str:
    interval = f"{rate(forecast.low)} to {rate(forecast.high)}"
    text = f"{forecast.instance}: {rate(forecast.bytes_per_second)} ({interval})"
    return f"{text}, limit {_forecast(forecast.forecast)}" if forecast.forecast else text


def _forecast(forecast: Forecast) -> str:
    high = "never" if forecast.high is None or math.isinf(forecast.high) else duration(forecast.high)
    return (
        f"of {mebibytes(forecast.limit)} in {duration(forecast.seconds)} "
        f"({duration(forecast.low)} to {high} at {forecast.confidence:.0%})"
    )


def _section(title: str, lines: Iterator[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return ["", f"{title}:", *found] if found else []


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
