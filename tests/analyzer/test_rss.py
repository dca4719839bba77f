"""Growth of resident memory alone: told from waves and from what fills."""

from __future__ import annotations

import numpy as np
import pytest
from heapwatch_analyzer.rss import rss_grows
from heapwatch_wire.growth import THRESHOLDS

MIB = float(1 << 20)
HOUR, DAY = 3600.0, 86400.0
TIMES = np.arange(0.0, 5 * DAY, 600.0)
NOISE = np.random.default_rng(1).standard_normal(len(TIMES))
SHAPES = {
    "leak": 4 * TIMES / HOUR,
    "leak beneath a daily wave": 4 * TIMES / HOUR - 60 * np.cos(2 * np.pi * TIMES / DAY),
    "level": 0 * TIMES,
    "daily wave": -60 * np.cos(2 * np.pi * TIMES / DAY),
    "cache": -200 * np.expm1(-TIMES / (12 * HOUR)),
    "resizing": 10 * 2.0 ** (TIMES[:, None] > np.array([0.5, 1.5, 3.0]) * DAY).sum(axis=1),
}


@pytest.mark.parametrize(("name", "values"), SHAPES.items())
def test_growth_is_what_goes_on(name: str, values: np.ndarray) -> None:
    found = rss_grows(1.7e9 + TIMES, MIB * (300 + values + NOISE), 1.7e9, THRESHOLDS)
    assert found == name.startswith("leak")


def test_too_little_is_no_growth() -> None:
    assert not rss_grows(TIMES[:5], MIB * TIMES[:5], 0.0, THRESHOLDS)
    assert not rss_grows(TIMES[:0], TIMES[:0], 0.0, THRESHOLDS)
