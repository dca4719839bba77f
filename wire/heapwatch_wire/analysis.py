"""What the analyzer writes back: one document per service version and analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from heapwatch_wire.evidence import Evidence, Forecast, Recommendation, Share


@dataclass(frozen=True)
class Anomaly:
    """An instance that behaves unlike its past or its peers; `causes` are metric names with their share."""

    instance: str
    time: float
    score: float
    causes: tuple[Share, ...]
    text: str


@dataclass(frozen=True)
class InstanceForecast:
    """Growth of one instance's RSS in bytes per second, and when it meets its limit (None: it doesn't)."""

    instance: str
    bytes_per_second: float
    low: float
    high: float
    forecast: Forecast | None = None


@dataclass(frozen=True)
class Scaling:
    """Advice on size: memory request and limit per instance in bytes, and number of instances.

    `action` is "keep", "resize", "scale_out", "scale_in" or "restart" (a leak is restarted and
    reported, never scaled).
    """

    action: Literal["keep", "resize", "scale_out", "scale_in", "restart"]
    request: float
    limit: float
    replicas: int
    text: str
    manifest: str = ""


@dataclass(frozen=True)
class Analysis:
    """One analysis of one service version.

    `status`: "leak" when at least one verdict is a leak; "no leak" when enough was seen to say so;
    "learning" before that. `window` is how many seconds back it looked; times are Unix seconds.
    """

    service: str
    version: str
    time: float
    window: float
    status: Literal["leak", "no leak", "learning"]
    instances: int
    verdicts: tuple[Evidence, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    forecasts: tuple[InstanceForecast, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    scaling: Scaling | None = None
    notes: tuple[str, ...] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)
