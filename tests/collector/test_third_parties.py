"""Programs of others use the collector as they are: Pyroscope's SDK, Connect, Prometheus, OpenTelemetry."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from connectrpc.client import ConnectClientSync
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_codecs
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from heapwatch_wire import proto
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

pytestmark = pytest.mark.integration

INUSE = "memory:inuse_space:bytes:space:bytes"
KEEP = (("keep", "/srv/a.py", 3), ("main", "/srv/a.py", 9))

PRODUCER = """
import sys, time
import pyroscope

pyroscope.configure(
    application_name="third.party", server_address=sys.argv[1], tags={"region": "eu"},
    mem_enabled=True, mem_heap_sample_size=1024, upload_interval=1,
)
kept = []
def hoard():
    kept.append(bytearray(100_000))
while True:
    hoard()
    sum(i * i for i in range(20_000))
    time.sleep(0.01)
"""


def test_pyroscopes_own_sdk_pushes_and_is_read_back(
    collector: Any, spawn: Any, wait_until: Any, tmp_path: Path
) -> None:
    (tmp_path / "producer.py").write_text(PRODUCER, encoding="utf-8")
    spawn(sys.executable, str(tmp_path / "producer.py"), f"http://{collector.address}")

    def functions() -> set[str]:
        now = int(time.time() * 1000)
        graph = collector.ask(
            "SelectMergeStacktraces",
            profileTypeID=INUSE,
            start=str(now - 600_000),
            end=str(now + 60_000),
            labelSelector='{service_name="third.party", region="eu"}',
        )["flamegraph"]
        return set(graph.get("names", []))

    wait_until(lambda: any("hoard" in name for name in functions()), what="hoard() in the heap profile")
    wait_until(
        lambda: "process_cpu" in {t["name"] for t in collector.ask("ProfileTypes")["profileTypes"]},
        what="a CPU profile",
    )


@pytest.mark.parametrize("codec", google_protobuf_codecs(), ids=lambda codec: codec.name())
def test_a_connect_client_queries(collector: Any, make_profile: Callable[..., Any], codec: Any) -> None:
    now = int(time.time() * 1000)
    collector.push(make_profile([(KEEP, (1, 2, 3, 400), {})]), service_name=f"connect-{codec.name()}")
    client = ConnectClientSync(f"http://{collector.address}", codec=codec)

    def call(method: str, asked: Any, answer: Any) -> Any:
        info = MethodInfo(
            name=method,
            service_name="querier.v1.QuerierService",
            input=type(asked),
            output=answer,
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=StreamType.UNARY,
        )
        return client.execute_unary(request=asked, method=info)

    wide = {"start": now - 60_000, "end": now + 60_000}
    types = call("ProfileTypes", proto.ProfileTypesRequest(**wide), proto.ProfileTypesResponse)
    assert INUSE in [t.ID for t in types.profile_types]
    asked = {"profile_typeID": INUSE, "label_selector": f'{{service_name="connect-{codec.name()}"}}', **wide}
    merged = call(
        "SelectMergeStacktraces",
        proto.SelectMergeStacktracesRequest(**asked),
        proto.SelectMergeStacktracesResponse,
    )
    assert (list(merged.flamegraph.names), merged.flamegraph.total) == (["total", "main", "keep"], 400)
    series = call("SelectSeries", proto.SelectSeriesRequest(**asked, step=30.0), proto.SelectSeriesResponse)
    assert [point.value for found in series.series for point in found.points] == [400.0]
    profile = call("SelectMergeProfile", proto.SelectMergeProfileRequest(**asked), proto.Profile)
    assert "keep" in profile.string_table
    with pytest.raises(ConnectError) as unimplemented:
        call("SelectHeatmap", proto.ProfileTypesRequest(), proto.ProfileTypesResponse)
    assert unimplemented.value.code == Code.UNIMPLEMENTED
    with pytest.raises(ConnectError) as invalid:
        call("LabelNames", proto.LabelNamesRequest(matchers=["{"]), proto.LabelNamesResponse)
    assert (invalid.value.code, "braces" in invalid.value.message) == (Code.INVALID_ARGUMENT, True)


def test_a_stock_prometheus_scrapes(
    collector: Any,
    spawn: Any,
    free_port: Any,
    wait_until: Any,
    make_metrics: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        f"- {{job_name: heapwatch, honor_labels: true, "
        f"static_configs: [{{targets: ['{collector.address}']}}]}}\n",
        encoding="utf-8",
    )
    port = free_port()
    spawn(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )

    def query(expression: str) -> Any:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(expression)}"
        try:
            with urllib.request.urlopen(url, timeout=300) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    def scraped() -> Any:
        # Who is silent for a minute leaves the page.
        body = make_metrics({"process.memory.usage": 123456789.0}, service="scraped", instance="web-7")
        collector.post("/v1/metrics", body, "application/x-protobuf")
        return query('process_memory_usage_bytes{service="scraped"}')

    (found,) = wait_until(scraped, what="the scraped value")
    assert float(found["value"][1]) == 123456789.0
    assert (found["metric"]["instance"], found["metric"]["version"], found["metric"]["pid"]) == (
        "web-7",
        "1.0",
        "41",
    )
    assert query("up{job='heapwatch'}")[0]["value"][1] == "1"
    assert query("heapwatch_collector_received_total{heapwatch_signal='metrics'}")


def test_an_opentelemetry_sdk_exports(collector: Any) -> None:
    exporter = OTLPMetricExporter(f"http://{collector.address}/v1/metrics", timeout=300)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
    provider = MeterProvider([reader], Resource({"service.name": "otel", "service.instance.id": "o1"}))
    meter = provider.get_meter("test")
    meter.create_counter("orders").add(3, {"kind": "web"})
    meter.create_histogram("took", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5)
    provider.shutdown()
    took, orders = sorted(
        collector.get("/api/v1/services/otel/metrics")["series"], key=lambda s: s["name"], reverse=True
    )
    assert (orders["name"], orders["attributes"], orders["points"][0][1]) == ("orders", {"kind": "web"}, 3.0)
    assert (took["points"][0][1:], took["buckets"]) == ([1, 1.5], [[1.0, 2.0], [[0, 1, 0]]])
