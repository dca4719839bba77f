"""Growth that no line of Python explains."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
from heapwatch.leaks.native import NativeWatch, extension_packages, suspects
from heapwatch.memory.breakdown import Breakdown
from heapwatch.sampler import Totals
from heapwatch_wire.sites import Frame

MIB = 1 << 20
Levels = Callable[[float], tuple[float, dict[str, int]]]


def watched(sampler: Any, levels: Levels, seconds: int = 600, native: int = 0) -> NativeWatch:
    """A watch that has seen `levels`: from seconds to (Python's live bytes, parts of RSS)."""
    now = 0.0

    def memory() -> Breakdown:
        parts = levels(now)[1]
        return Breakdown(sum(parts.values()), 0, parts, 0, {}, {})

    watch = NativeWatch(memory, sampler)
    while now < seconds:
        sampler.statistics = {"live_bytes": levels(now)[0], "interval": 65536, "native": native}
        watch.observe(now)
        now += 20.0
    return watch


def parts(malloc: float, pymalloc: float = 40 * MIB) -> dict[str, int]:
    return {"pymalloc used": int(pymalloc), "malloc used": int(60 * MIB + malloc), "files": 20 * MIB}


def test_memory_of_c_code_is_told_from_pythons(sampler: Any) -> None:
    growth = watched(
        sampler, lambda t: (40 * MIB + t * 10_000, parts(t * 50_000, 40 * MIB + t * 10_000))
    ).growth()
    assert growth is not None
    assert growth.native == pytest.approx(50_000, rel=0.01)
    assert growth.python == pytest.approx(10_000, rel=0.01)
    assert growth.rss == pytest.approx(60_000, rel=0.01)
    assert list(growth.parts)[:2] == ["malloc used", "pymalloc used"]
    assert not growth.native_mode


@pytest.mark.parametrize(
    ("what", "levels"),
    [
        ("python", lambda t: (40 * MIB + t * 50_000, parts(0, 40 * MIB + t * 50_000))),
        ("nothing", lambda t: (40 * MIB, parts(0))),
        ("little", lambda t: (40 * MIB, parts(t * 3_000))),
        ("a step", lambda t: (40 * MIB, parts(30 * MIB if t > 200 else 0))),
        ("a start", lambda t: (40 * MIB, parts(min(t, 150) * 200_000))),
    ],
)
def test_what_is_no_native_growth(sampler: Any, what: str, levels: Levels) -> None:
    assert watched(sampler, levels).growth() is None


def test_two_minutes_are_needed(sampler: Any) -> None:
    assert watched(sampler, lambda t: (0.0, parts(t * 500_000)), seconds=100).growth() is None


def test_a_reading_that_is_not_new_is_no_point(sampler: Any) -> None:
    sampler.statistics = {"live_bytes": 0.0, "interval": 65536}
    known: list[Breakdown] = []
    watch = NativeWatch(lambda: known[-1], sampler)
    for minute in range(12):
        if minute % 4 == 0:
            known.append(Breakdown(0, 0, parts(minute * 4 * MIB), 0, {}, {}))
        watch.observe(60.0 * minute)
    assert watch.growth() is None, "three readings are too few to say so"


def test_native_mode_is_told(sampler: Any) -> None:
    growth = watched(sampler, lambda t: (0.0, parts(t * 50_000)), native=1).growth()
    assert growth is not None
    assert growth.native_mode


def test_without_samples_nothing_is_said(sampler: Any) -> None:
    sampler.reason = "no extension"
    assert watched(sampler, lambda t: (0.0, parts(t * 50_000))).growth() is None


def test_extension_modules_are_those_of_packages() -> None:
    def module(file: str | None) -> types.ModuleType:
        made = types.ModuleType("m")
        made.__file__ = file
        return made

    modules = {
        "lxml.etree": module("/v/lib/python3.11/site-packages/lxml/etree.cpython-311-x86_64-linux-gnu.so"),
        "_json": module("/usr/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so"),
        "heapwatch._sampler": module("/v/site-packages/heapwatch/_sampler.abi3.so"),
        "flask": module("/v/lib/python3.11/site-packages/flask/__init__.py"),
        "sys": module(None),
    }
    assert list(extension_packages(modules)) == ["lxml"]


def test_packages_on_whose_lines_most_is_allocated_come_first(
    sampler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = "/v/lib/python3.11/site-packages"
    stacks = {
        1: (Frame("parse", "/usr/lib/python3.11/json/x.py", 1), Frame("f", f"{packages}/lxml/html.py", 3)),
        2: (Frame("g", f"{packages}/numpy/core.py", 9),),
    }
    sampler.totals = lambda live=False: [
        Totals(1, 0, "main", 1.0, 1.0, 5.0, 100.0),
        Totals(2, 0, "main", 1.0, 1.0, 5.0, 900.0),
    ]
    sampler.frames = stacks.__getitem__
    monkeypatch.setattr("heapwatch.leaks.native.extension_packages", lambda: ["lxml", "numpy", "zstandard"])
    assert suspects(sampler) == ("numpy", "lxml", "zstandard")
