"""The watch goes on, and loses nothing, when the collector, one service or one document is not in order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from heapwatch_analyzer.client import Collector, CollectorError, Unavailable
from heapwatch_analyzer.loop import Loop, ShowText
from heapwatch_analyzer.observations import Instance, Observations
from heapwatch_analyzer.outbox import MOST, Outbox
from heapwatch_wire.analysis import Analysis
from heapwatch_wire.settings import AnalyzerSettings

URL = "http://127.0.0.1:1"
SETTINGS = AnalyzerSettings(history=0.0)


def observations(service: str) -> Observations:
    return Observations(service, "1", 1000.0, 600.0, (Instance("a", "h", 1, 0.0, 1000.0),))


def analysis(service: str, time: float = 1000.0) -> Analysis:
    return Analysis(service, "1", time, 600.0, "learning", 1)


@dataclass(frozen=True)
class Scripted(Collector):
    """Raises what `failing` says when that service is observed, or by "publish" when an analysis is sent."""

    names: Sequence[str] = ()
    failing: dict[str, Exception] = field(default_factory=dict)
    published: list[Analysis] = field(default_factory=list)

    def services(self) -> list[str]:
        return list(self.names)

    def observe(self, service: str, time: float, window: float, points: int = 1) -> list[Observations]:
        if service in self.failing:
            raise self.failing[service]
        return [replace(observations(service), time=time)]

    def publish(self, analysis: Analysis) -> None:
        if "publish" in self.failing:
            raise self.failing["publish"]
        self.published.append(analysis)


@pytest.mark.parametrize("error", [CollectorError("is not in order"), ZeroDivisionError("is not in order")])
def test_one_service_does_not_cost_the_others(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    collector = Scripted(URL, names=["first", "second", "third"], failing={"second": error})
    assert not Loop(SETTINGS, collector, ShowText(io.StringIO()), None).look()
    assert [a.service for a in collector.published] == ["first", "third"]
    assert "is not in order" in capsys.readouterr().err


def test_what_could_not_be_sent_is_shown_and_sent_later(capsys: pytest.CaptureFixture[str]) -> None:
    collector, shown = (
        Scripted(URL, names=["shop"], failing={"publish": Unavailable("no answer")}),
        io.StringIO(),
    )
    loop = Loop(SETTINGS, collector, ShowText(shown), None)
    assert not loop.look()
    assert "shop" in shown.getvalue()
    assert "no answer" in capsys.readouterr().err
    del collector.failing["publish"]
    collector.failing["shop"] = CollectorError("not now")  # Only what waits can be sent.
    assert not loop.look()
    (sent,) = collector.published
    assert sent.service == "shop"


def test_the_latest_analysis_of_a_version_waits_and_a_bounded_number_of_them() -> None:
    collector = Scripted(URL, names=[], failing={"publish": Unavailable("no answer")})
    outbox = Outbox(collector)
    for time in range(2):
        for number in range(MOST + 10):
            outbox.add(analysis(f"service {number}", time))
    with pytest.raises(Unavailable):
        outbox.send()
    del collector.failing["publish"]
    assert outbox.send() == []
    assert [a.service for a in collector.published] == [f"service {n}" for n in range(10, MOST + 10)]
    assert {a.time for a in collector.published} == {1}


def test_a_refused_analysis_is_given_up() -> None:
    collector = Scripted(URL, names=[], failing={"publish": CollectorError("too large")})
    outbox = Outbox(collector)
    outbox.add(analysis("shop"))
    assert outbox.send() == ["too large"]
    assert outbox.send() == []
