"""Growth that no line of Python explains, as an evidence document: in the process, on the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from heapwatch.cli.commands.leaks import combine
from heapwatch.cli.render import evidence_table, evidence_text
from heapwatch.identity import identify
from heapwatch.leaks.native import NativeGrowth
from heapwatch.leaks.outside import Outside
from heapwatch_wire.evidence import Evidence, from_json, to_json
from heapwatch_wire.native import OUTSIDE_ID
from heapwatch_wire.settings import AgentSettings

MIB = float(1 << 20)
GROWTH = NativeGrowth(
    seconds=600.0,
    rss=3 * MIB / 60,
    python=0.5 * MIB / 60,
    native=2.4 * MIB / 60,
    margin=0.2 * MIB / 60,
    parts={"malloc used": 2.4 * MIB / 60, "pymalloc used": 0.5 * MIB / 60, "files": 0.0},
    levels={"malloc used": 90 * MIB, "pymalloc used": 40 * MIB, "files": 20 * MIB},
    series=((1000.0, 60 * MIB), (1600.0, 84 * MIB)),
    modules=("lxml", "numpy"),
    native_mode=False,
)


class Watch:
    def __init__(self, growth: NativeGrowth | None) -> None:
        self._growth = growth

    def growth(self) -> NativeGrowth | None:
        return self._growth


def documents(growth: NativeGrowth | None = GROWTH) -> list[Evidence]:
    watch: Any = Watch(growth)
    return Outside(watch, identify(AgentSettings(service="shop", service_version="7"))).documents(1600.0)


def test_the_document_says_the_split_the_candidates_and_what_to_do() -> None:
    (found,) = documents()
    assert (found.verdict, found.kind, found.service, found.version) == ("suspicion", "native", "shop", "7")
    assert found.site.id == OUTSIDE_ID
    assert found.live_bytes == 84 * MIB
    assert found.growth.low < found.growth.bytes_per_second == GROWTH.native < found.growth.high
    assert (found.parts[0].name, found.parts[0].bytes) == ("malloc used", 90 * MIB)
    assert all(part.meaning for part in found.parts)
    assert found.suspects == ("lxml", "numpy")
    assert "aren't theirs" in found.reasons[0]
    assert "+2.40 MiB a minute" in found.reasons[1]
    assert found.recommendation is not None
    assert "heapwatch run --native" in found.recommendation.text
    assert "lxml, numpy" in found.recommendation.text
    assert from_json(Evidence, to_json(found)) == found


def test_with_native_mode_the_rest_is_past_malloc() -> None:
    (found,) = documents(replace(GROWTH, native_mode=True))
    assert found.recommendation is not None
    assert "run --native" not in found.recommendation.text
    assert "heapwatch trim" in found.recommendation.text


def test_without_such_growth_there_is_no_document() -> None:
    assert documents(None) == []


def test_several_processes_are_one_document() -> None:
    (one,) = documents()
    other = replace(one, suspects=("PIL",), live_bytes=6 * MIB)
    (joined,) = combine([[one], [other], []])
    assert joined.growth.bytes_per_second == pytest.approx(2 * GROWTH.native)
    assert (joined.growing, joined.instances) == (2, 3)
    assert joined.live_bytes == 90 * MIB
    assert {p.name: p.bytes for p in joined.parts}["malloc used"] == 180 * MIB
    assert joined.suspects == ("lxml", "numpy", "PIL")


def test_the_terminal_never_says_leak() -> None:
    (found,) = documents()
    text = evidence_text(found)
    assert text.startswith("SUSPICION")
    assert "that no sampled line of Python asks for" in text
    assert "+2.40 MiB a minute  malloc used, now 90.0 MiB" in text
    assert "lxml, numpy" in text
    assert "objects" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "memory outside Python" in evidence_table([found])
