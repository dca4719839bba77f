"""Each door takes what it promises: pushes in JSON, Pyroscope's /ingest, OTLP in JSON."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration

KEEP = (("keep", "/srv/a.py", 3), ("main", "/srv/a.py", 9))
Profiles = Callable[..., Any]


def names(client: Any, kind: str, selector: str) -> list[str]:
    """Function names in the merged flame graph."""
    now = int(time.time() * 1000)
    asked = {"labelSelector": selector, "start": str(now - 600_000), "end": str(now + 60_000)}
    graph = client.ask("SelectMergeStacktraces", profileTypeID=kind, **asked)["flamegraph"]
    return list(graph["names"])


def test_a_push_in_json(collector: Any, make_profile: Profiles) -> None:
    profile = make_profile([(KEEP, (1, 2, 3, 4), {})])
    series = {
        "labels": [{"name": "__name__", "value": "memory"}, {"name": "service_name", "value": "in.json"}],
        "samples": [{"rawProfile": base64.b64encode(profile.SerializeToString()).decode()}],
    }
    answer = collector.post_json("/push.v1.PusherService/Push", {"series": [series], "annotations": []})
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"{}", "application/json")
    found = names(collector, "memory:inuse_space:bytes:space:bytes", '{service_name="in.json"}')
    assert found == ["total", "main", "keep"]


def test_ingest_takes_pprof_by_the_name_of_an_application(collector: Any, make_profile: Profiles) -> None:
    profile = make_profile([(KEEP, (70,), {})], types=[("cpu", "nanoseconds")])
    profile.time_nanos = 0
    until = int(time.time()) - 30
    path = f"/ingest?name=raw.cpu%7Bregion%3Deu%2Czone%3D%22a%22%7D&format=pprof&until={until}"
    body = gzip.compress(profile.SerializeToString())
    assert collector.post(path, body, "application/octet-stream").status == 200
    selector = '{service_name="raw", region="eu", zone="a"}'
    assert names(collector, "process_cpu:cpu:nanoseconds:space:bytes", selector) == ["total", "main", "keep"]
    service = next(s for s in collector.get("/api/v1/services")["services"] if s["name"] == "raw")
    assert service["last_seen"] == until


def test_ingest_takes_multipart_forms(collector: Any, make_profile: Profiles) -> None:
    profile = gzip.compress(make_profile([(KEEP, (1, 2, 3, 4), {})]).SerializeToString())
    part = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n\r\n%s\r\n'
    body = part % (b"sample_type_config", b"{}") + part % (b"profile", profile) + b"--x--\r\n"
    answer = collector.post("/pyroscope/ingest?name=form", body, "multipart/form-data; boundary=x")
    assert answer.status == 200, answer.body
    found = names(collector, "memory:alloc_space:bytes:space:bytes", '{service_name="form"}')
    assert found == ["total", "main", "keep"]


def test_otlp_in_json(collector: Any) -> None:
    now = str(int(time.time() * 1e9))
    point = {"timeUnixNano": now, "asInt": "7", "attributes": [{"key": "ok", "value": {"boolValue": True}}]}
    total = {"name": "jobs", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "otlp.json"}}]}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [total]}]}], "future": 1}
    answer = collector.post_json("/v1/metrics", body)
    assert (answer.status, answer.json) == (200, {})
    (series,) = collector.get("/api/v1/services/otlp.json/metrics")["series"]
    assert (series["name"], series["attributes"], series["points"][0][1]) == ("jobs", {"ok": "true"}, 7.0)


def test_a_service_may_have_any_name(collector: Any, make_metrics: Callable[..., bytes]) -> None:
    body = make_metrics({"x": 1.0}, service="team/shop é?")
    collector.post("/v1/metrics", body, "application/x-protobuf")
    found = collector.get("/api/v1/services/team%2Fshop%20%C3%A9%3F/instances")["instances"]
    assert [instance["id"] for instance in found] == ["web-1"]


def test_counts_of_what_was_taken_and_refused(collector: Any, make_profile: Profiles) -> None:
    def count(line: str) -> float:
        page = collector.request("GET", "/metrics").body.decode().splitlines()
        return sum(float(found.rpartition(" ")[2]) for found in page if found.startswith(line))

    taken = 'heapwatch_collector_received_total{heapwatch_signal="profiles"}'
    refused = 'heapwatch_collector_rejected_total{heapwatch_reason="400",heapwatch_signal="profiles"}'
    before = count(taken), count(refused)
    collector.push(make_profile([]))
    assert collector.post("/push.v1.PusherService/Push", b"\xff", "application/proto").status == 400
    assert (count(taken), count(refused)) == (before[0] + 1, before[1] + 1)
    assert json.loads(collector.request("POST", "/v1/metrics").body)["mend"].startswith(
        "send application/x-proto"
    )
