"""Every panel shows data: a real collector, fed as agents and the analyzer feed it, and a real Prometheus."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heapwatch_dashboards.render import documents
from heapwatch_wire import otlp, pprof, push
from heapwatch_wire.analysis import Analysis, InstanceForecast
from heapwatch_wire.evidence import Evidence, Forecast, Growth, Site, to_json
from heapwatch_wire.metrics import METRICS
from heapwatch_wire.sites import Frame

INSTANCE = "web-1-9c2"
ATTRIBUTES = {
    "cpython.gc.generation": "2",
    "heapwatch.event": "oom_kill",
    "http.request.method": "GET",
    "http.route": "/feed",
    "http.response.status_code": "200",
}

pytestmark = [pytest.mark.integration]


@pytest.fixture
def collector(heapwatch: list[str], spawn: Any, tmp_path: Path) -> str:
    words = ["serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
    words += ["--commit-interval", "0.01"]
    return str(spawn(*heapwatch, *words).wait_line("listening on").split()[-1])


@pytest.fixture
def prometheus(collector: str, heapwatch: list[str], spawn: Any, tmp_path: Path, free_port: Any) -> str:
    """Address of a Prometheus that scrapes the collector each second, configured by our own command."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    file = tmp_path / "prometheus.yml"
    words = ["alerts", "prometheus", "--collector", collector, "-o", str(file)]
    assert spawn(*heapwatch, *words).process.wait(240) == 0
    file.write_text(file.read_text().replace(": 15s", ": 1s"))
    address = f"127.0.0.1:{free_port()}"
    spawn(
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus",
        f"--web.listen-address={address}",
        cwd=tmp_path,
    ).wait_line("Server is ready")
    return f"http://{address}"


def post(url: str, body: bytes, content_type: str) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read()


def points(step: int) -> Iterator[otlp.Point]:
    """A point of each metric that agents send; counters stand at `step`."""
    for metric in METRICS:
        attributes = {name: ATTRIBUTES.get(name, "x") for name in metric.attributes}
        if metric.source != "agent":
            continue
        if metric.instrument == "histogram":
            yield otlp.Histogram(metric, (step,) * (len(metric.buckets) + 1), 0.1 * step, attributes)
        else:
            yield otlp.Number(metric, step, attributes)


def feed(collector: str, step: int) -> None:
    """One delivery of an agent."""
    resource = {"service.name": "shop", "service.version": "1.4", "service.instance.id": INSTANCE}
    body = otlp.encode(resource, points(step), start=time.time() - 60, now=time.time())
    post(f"{collector}/v1/metrics", body, "application/x-protobuf")


def feed_analysis(collector: str) -> None:
    site, growth = Site("5f0c", "load", "shop/feed.py", 17), Growth(1e3, 9e2, 11e2, 1.0)
    leak = Evidence("leak", "shop", "1.4", site, "Session", 1e6, 1e3, growth, time.time())
    forecast = InstanceForecast(INSTANCE, 3e4, 2e4, 4e4, Forecast(8e8, 1e9, 1800.0, 1e3, None))
    found = Analysis(
        "shop", "1.4", time.time(), 600.0, "leak", 1, verdicts=(leak,), forecasts=(forecast,)
    )  # fmt: skip
    post(f"{collector}/api/v1/analyses", json.dumps(to_json(found)).encode(), "application/json")


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for uid, document in documents().items():
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                yield f"{uid}: {panel['title']}", target


def filled(text: str) -> str:
    for variable in ("$service", "$version", "$instance"):
        text = text.replace(variable, ".*")
    return text.replace("$__rate_interval", "10s")


def query(prometheus: str, expression: str) -> list[Any]:
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{words}", timeout=300) as answer:
        found: list[Any] = json.load(answer)["data"]["result"]
    return found


def test_every_prometheus_panel_has_data(
    collector: str, prometheus: str, wait_until: Callable[..., Any]
) -> None:
    feed_analysis(collector)
    queries = [(title, filled(target["expr"])) for title, target in targets() if "expr" in target]
    assert len(queries) > 40
    silent = set(queries)
    steps = iter(range(1, 1000))

    def all_answered() -> bool:
        feed(collector, next(steps))
        silent.difference_update([row for row in silent if query(prometheus, row[1])])
        return not silent

    try:
        wait_until(all_answered)
    except AssertionError:
        pytest.fail(f"panels without data: {silent}")


def test_every_flame_graph_has_data(collector: str) -> None:
    stack = (Frame("load", "shop/feed.py", 17), Frame("main", "shop/app.py", 3))
    sample = pprof.Sample(stack, (70, 7_000_000, 50, 5_000_000))
    profile = pprof.Profile((sample,), time_nanos=time.time_ns(), period=65536)
    labels = {"__name__": "memory", "service_name": "shop", "service_version": "1.4", "instance": INSTANCE}
    post(
        f"{collector}/push.v1.PusherService/Push",
        push.encode(labels, pprof.encode(profile)),
        "application/proto",
    )
    flames = [(title, target) for title, target in targets() if "profileTypeId" in target]
    assert len(flames) == 2
    for title, target in flames:
        asked = {
            "profileTypeID": target["profileTypeId"],
            "labelSelector": filled(target["labelSelector"]),
            "start": int((time.time() - 600) * 1000),
            "end": int((time.time() + 1) * 1000),
            "maxNodes": target["maxNodes"],
        }
        address = f"{collector}/querier.v1.QuerierService/SelectMergeStacktraces"
        answer = json.loads(post(address, json.dumps(asked).encode(), "application/json"))
        assert "load" in str(answer["flamegraph"]["names"]), title
