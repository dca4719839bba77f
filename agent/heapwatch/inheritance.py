"""Which of the live memory of a forked process its parent made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from heapwatch.leaks.sites import SiteTotals
from heapwatch.sampler import LiveSample, Sampler

STACKS = 200
"""A look at the samples of a stack passes over all samples, so the heaviest sites have to do."""
SAMPLES = 500


def inherited_bytes(sampler: Sampler, forked: float, sites: Sequence[SiteTotals]) -> list[float]:
    """For each of `sites` the live bytes from before `forked`, the Unix time at which this process began.

    Estimated from at most SAMPLES samples of each stack, and only as far as STACKS stacks go.
    """
    interval = float(sampler.stats().get("interval", 0)) or 1.0
    looks = STACKS
    found = []
    for totals in sites:
        inherited = 0.0
        for stack, live in totals.stacks.most_common(looks):
            inherited += live * _share_before(forked, sampler.live_samples(stack, SAMPLES), interval)
        looks = max(0, looks - len(totals.stacks))
        found.append(inherited)
    return found


def _share_before(forked: float, samples: Sequence[LiveSample], interval: float) -> float:
    """The share in bytes, each sample standing for as many as `estimate.h` says."""
    weights = [
        (sample.birth < forked, sample.size / -math.expm1(-sample.size / interval)) for sample in samples
    ]
    whole = sum(weight for _, weight in weights)
    return sum(weight for before, weight in weights if before) / whole if whole else 0.0
