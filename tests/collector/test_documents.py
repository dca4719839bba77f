"""Evidence and analyses: the latest of each is asked back, and shows in services, leaks and /metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from heapwatch_wire.analysis import Analysis, Anomaly, InstanceForecast, Scaling
from heapwatch_wire.evidence import Evidence, Forecast, Growth, Holder, Site, from_json, to_json
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.integration

SITE = Site("00c0ffee00c0ffee", 'put "x"', "/srv/\\n.py", 41)


def a_leak(service: str, version: str = "1", rate: float = 1e4, verdict: Any = "leak") -> Evidence:
    return Evidence(
        verdict,
        service,
        version,
        SITE,
        "app.Session",
        1e6,
        1e3,
        Growth(rate, rate / 2, rate * 2, 10.0),
        time.time(),
        holders=(Holder("app.CACHE['k']", "module", ("dict", "Session"), 1.0),),
    )


def an_analysis(service: str, version: str = "1", **changes: Any) -> Analysis:
    return replace(
        Analysis(service, version, time.time(), 3600.0, "leak", 2, (a_leak(service, version),)), **changes
    )


def store(client: Any, analysis: Analysis) -> None:
    answer = client.post_json("/api/v1/analyses", to_json(analysis))
    assert (answer.status, answer.body) == (200, b"{}"), answer.body


def samples(client: Any, **labels: str) -> dict[str, float]:
    """The samples on the Prometheus page that carry `labels`, by name."""
    text = client.request("GET", "/metrics").body.decode()
    found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {s.name: s.value for s in found if labels.items() <= s.labels.items()}


def test_the_latest_evidence_of_each_instance_and_site(collector: Any) -> None:
    def send(instance: str, document: Evidence) -> None:
        body = {"instance": instance, "documents": [to_json(document)]}
        assert collector.post_json("/api/v1/evidence", body).status == 200

    first = a_leak("proved", verdict="suspicion")
    send("a", first)
    send("b", replace(first, version="2"))
    send("a", replace(first, live_bytes=7.0, time=first.time + 1))
    documents = collector.get("/api/v1/services/proved/evidence")["documents"]
    assert sorted((d["instance"], d["evidence"]["live_bytes"]) for d in documents) == [("a", 7.0), ("b", 1e6)]
    (only,) = collector.get("/api/v1/services/proved/evidence", version="2", site=SITE.id)["documents"]
    assert from_json(Evidence, only["evidence"]) == replace(first, version="2")
    assert collector.get("/api/v1/services/proved/evidence", site="0") == {"documents": []}


def test_analyses_leaks_and_the_state_of_services(collector: Any, make_metrics: Callable[..., bytes]) -> None:
    for version in ("1", "2"):
        body = make_metrics({"process.memory.usage": 1.0}, service="judged", version=version)
        collector.post("/v1/metrics", body, "application/x-protobuf")
    store(collector, an_analysis("judged", "1", time=time.time() - 5, status="learning", verdicts=()))
    slow, fast = a_leak("judged", "1"), a_leak("judged", "2", rate=1e6)
    store(collector, an_analysis("judged", "1", verdicts=(slow, a_leak("judged", verdict="suspicion"))))
    store(collector, an_analysis("judged", "2", verdicts=(fast,)))
    analyses = collector.get("/api/v1/analyses", service="judged")["analyses"]
    assert sorted((a["version"], a["status"]) for a in analyses) == [("1", "leak"), ("2", "leak")]
    leaks = collector.get("/api/v1/leaks", service="judged")["leaks"]
    assert [from_json(Evidence, leak) for leak in leaks] == [fast, slow]
    one = collector.get(f"/api/v1/leaks/judged/{SITE.id}", version="1")
    assert from_json(Evidence, one) == slow
    service = next(s for s in collector.get("/api/v1/services")["services"] if s["name"] == "judged")
    assert (service["status"], service["leaks"], service["versions"]) == ("leak", 2, ["1", "2"])


def test_what_analyses_say_is_on_the_prometheus_page(collector: Any) -> None:
    store(
        collector,
        an_analysis(
            "scraped",
            anomalies=(Anomaly("i1", time.time(), 0.9, (), "odd"),),
            forecasts=(InstanceForecast("i1", 5.0, 4.0, 6.0, Forecast(1.0, 9.0, 120.0, 60.0, None)),),
            scaling=Scaling("resize", 1e8, 2e8, 3, "smaller"),
        ),
    )
    assert samples(
        collector, service="scraped", version="1", heapwatch_site=SITE.id, code_line_number="41"
    ) == {
        "heapwatch_leak_growth_bytes_per_second": 1e4,
        "heapwatch_leak_live_bytes": 1e6,
    }
    # Quotes and backslashes in names come through the text format.
    assert samples(collector, service="scraped", code_function_name='put "x"', code_file_path="/srv/\\n.py")
    assert samples(collector, service="scraped", instance="i1") == {
        "heapwatch_memory_growth_bytes_per_second": 5.0,
        "heapwatch_memory_limit_eta_seconds": 120.0,
        "heapwatch_anomaly_score_ratio": 0.9,
    }
    advice = samples(collector, service="scraped")
    assert advice["heapwatch_advice_memory_request_bytes"] == 1e8
    assert advice["heapwatch_advice_replicas"] == 3


def test_an_analysis_that_is_not_renewed_leaves_the_page(collector: Any) -> None:
    store(collector, an_analysis("forgotten", window=60.0, time=time.time() - 150))
    assert samples(collector, service="forgotten")
    store(collector, an_analysis("forgotten", window=60.0, time=time.time() - 310))
    # It is older than the one that is stored, which stays the latest.
    assert samples(collector, service="forgotten")
    store(collector, an_analysis("stopped", window=60.0, time=time.time() - 310))
    assert samples(collector, service="stopped") == {}


def test_numbers_that_json_has_not_are_refused(collector: Any) -> None:
    body = json.dumps(to_json(an_analysis("odd", window=12345.0))).replace("12345.0", "1e999")
    answer = collector.post("/api/v1/analyses", body.encode(), "application/json")
    assert answer.status == 400
    assert "out of range" in answer.json["error"]
    assert collector.get("/api/v1/analyses", service="odd") == {"analyses": []}
