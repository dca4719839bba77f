"""How many instances: only where memory follows load, since replicas share load and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..observations import FloatArray

TARGET = 0.7
"""Usage over limit that replicas are counted for."""
TOLERANCE = 0.1
"""Deviation from TARGET that changes nothing, as in Kubernetes' horizontal autoscaler."""
FOLLOWS = 0.6
LEAST_POINTS = 24
LEAST_VARIATION = 0.15
SIGNIFICANCE = 0.01


@dataclass(frozen=True)
class Load:
    """Whether memory follows load: rank correlation, points compared, and the verdict."""

    correlation: float
    points: int
    follows: bool


def follow(memory: FloatArray, rate: FloatArray) -> Load:
    """Whether `memory` in bytes follows `rate` in requests per second, both at the same times.

    Spearman's correlation, significant at the effective number of points (autocorrelation at lag 1,
    Bretherton 1999); a load that hardly varies proves nothing.
    """
    points = len(memory)
    enough = points >= LEAST_POINTS and np.ptp(memory) > 0
    if not enough or np.std(rate) < LEAST_VARIATION * max(float(np.mean(rate)), 1e-9):
        return Load(0.0, points, False)
    correlation = float(np.corrcoef(stats.rankdata(memory), stats.rankdata(rate))[0, 1])
    memory_one, rate_one = _lag_one(memory), _lag_one(rate)
    effective = max(3.0, points * (1 - memory_one * rate_one) / (1 + memory_one * rate_one))
    t = correlation * math.sqrt((effective - 2) / max(1e-9, 1 - correlation**2))
    chance = float(stats.t.sf(t, effective - 2))
    return Load(correlation, points, correlation >= FOLLOWS and chance < SIGNIFICANCE)


def replicas(now: int, usage: float, limit: float) -> int:
    """Replicas that bring `usage` per instance to TARGET of `limit`, `now` being those that run."""
    ratio = usage / (TARGET * limit)
    if abs(ratio - 1) <= TOLERANCE:
        return now
    return max(1, math.ceil(now * ratio))


def _lag_one(values: FloatArray) -> float:
    centred = values - values.mean()
    power = float(centred @ centred)
    return max(0.0, float(centred[1:] @ centred[:-1]) / power) if power else 0.0
