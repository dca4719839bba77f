"""Quantiles of histograms."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from heapwatch_wire.histogram import quantile

BOUNDS = (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [
        ([10, 0, 0, 0], 0.5, 0.05),
        ([0, 10, 0, 0], 0.5, 0.15),
        ([0, 10, 10, 0], 0.75, 0.3),
        ([5, 0, 0, 5], 0.99, 0.4),
        ([0, 0, 0, 7], 0.5, 0.4),
    ],
)
def test_a_quantile_lies_within_its_bucket(counts: Sequence[int], q: float, expected: float) -> None:
    assert quantile(BOUNDS, counts, q) == pytest.approx(expected)


def test_nothing_observed_has_no_quantile() -> None:
    assert quantile(BOUNDS, [0, 0, 0, 0], 0.99) is None
    assert quantile((), (), 0.5) is None
