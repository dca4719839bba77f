"""What the terminal shows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from heapwatch_analyzer.client import Collector
from heapwatch_analyzer.loop import Loop, ShowJson, ShowText
from heapwatch_analyzer.report import analyze
from heapwatch_analyzer.text import progress, render
from heapwatch_analyzer.units import duration, mebibytes, rate
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.evidence import Holder
from heapwatch_wire.settings import AnalyzerSettings


@pytest.fixture
def leaking(simulation: Any) -> Analysis:
    leak = simulation.Site(
        "remember", simulation.leak(2 * simulation.MIB, 2000, since=60), 2000, line=7,
        endpoints=(simulation.share("GET /p", 0.9),),
    )  # fmt: skip
    fleet = simulation.Fleet([leak, *simulation.healthy(1, 5)], 240, seed=2)
    holder = Holder("shop.SEEN[*]", "module", ("dict", "Page"), 1.0)
    fleet.reports = [simulation.report(leak.site, "host-100-1", "shop.Page", holder)]
    return analyze(fleet.observe(), AnalyzerSettings())


def test_text_has_the_whole_story_on_one_screen(leaking: Analysis) -> None:
    text = render(leaking)
    for word in (
        "shop 1.0: leak", "LEAK of shop.Page at remember (/srv/shop/shop/views.py:7)", "/min", "held by",
        "shop.SEEN[*]", "GET /p (90%)", "2 of 2 instances", "of 512 MiB in", "Bound the cache shop.SEEN",
        "restart",
    ):  # fmt: skip
        assert word in text, word
    assert len(text.splitlines()) <= 45


def test_full_text_only_when_something_is_new(leaking: Analysis) -> None:
    out = io.StringIO()
    show = ShowText(out)
    for analysis in (
        leaking,
        replace(leaking, time=leaking.time + 5),
        replace(leaking, status="learning", verdicts=()),
    ):
        show(analysis)
    text = out.getvalue()
    assert text.count("LEAK of") == 1
    assert progress(replace(leaking, time=leaking.time + 5)) in text
    assert "1 leak, 2 instances" in text
    assert "shop 1.0: learning" in text


def test_json_is_a_document_per_line(leaking: Analysis) -> None:
    out = io.StringIO()
    show = ShowJson(out)
    show(leaking)
    show(leaking)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == second
    assert first["status"] == "leak"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (3 << 20, "3 MiB"),
        (-5 << 20, "-5 MiB"),
        (1500 << 30, "1500 GiB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert mebibytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (3725, "1 h 2 min"), (90000, "1 d 1 h"), (86400 * 40, "40 d")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rates_are_per_minute() -> None:
    assert rate((1 << 20) / 60) == "1 MiB/min"


def test_a_failure_of_ours_does_not_end_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Collector):
        def services(self) -> list[str]:
            asked.append(1)
            if len(asked) == 3:
                loop.stop()
            raise ZeroDivisionError("no luck")

    asked: list[int] = []
    settings = AnalyzerSettings(analyze_interval=0.01)
    loop = Loop(settings, Broken("http://127.0.0.1:1"), ShowText(io.StringIO()), None)
    loop.forever()
    assert len(asked) == 3
    assert "no luck" in capsys.readouterr().err
