"""Sizes, times and tables as people read them."""

from __future__ import annotations

import math
import time

import pytest
from heapwatch.cli import units
from heapwatch.cli.table import cut, cut_left, table
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1536, "1.50 KiB"), (12.34 * 2**20, "12.3 MiB"),
     (-4096, "-4.00 KiB"), (999.7 * 1024, "0.98 MiB"), (5e18, "4441 PiB")],
)  # fmt: skip
def test_sizes(value: float, text: str) -> None:
    assert units.size(value) == text


@given(st.floats(0, 1e15))
def test_a_size_keeps_its_value(value: float) -> None:
    number, unit = units.size(value).split()
    scale = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit)
    assert float(number) * scale == pytest.approx(value, rel=0.006, abs=0.6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.0042, "4.2 ms"), (45, "45 s"), (60, "1 min"), (125, "2 min 5 s"), (7800, "2 h 10 min"),
     (3600, "1 h"), (360000, "4 d 4 h"), (math.inf, "never"), (-3, "0 s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_moments_name_the_day_when_it_is_another() -> None:
    noon = time.mktime((2026, 11, 20, 12, 0, 0, 0, 0, -1))
    assert units.moment(noon + 3600, noon) == "13:00"
    assert units.moment(noon + 86400, noon) == "Sat 21 Nov 12:00"


@pytest.mark.parametrize(("value", "text"), [(1, "100%"), (0.004, "<1%"), (0.834, "83%"), (0, "0%")])
def test_shares(value: float, text: str) -> None:
    assert units.share(value) == text


def test_counts_and_signs() -> None:
    assert units.count(41300.4) == "41,300"
    assert units.count(0.25) == "0.2"
    assert units.signed_size(2048) == "+2.00 KiB"
    assert units.signed_size(-2048) == "-2.00 KiB"


def test_tables_align_and_end_at_the_edge() -> None:
    text = table((">n", "name"), [("1", "short"), ("1000", "x" * 200)], width=20)
    assert text.splitlines() == ["   n  name", "   1  short", "1000  " + "x" * 13 + "…"]
    assert cut_left("/srv/shop/feed.py", 8) == "…feed.py"
    assert cut("short", 10) == "short"
