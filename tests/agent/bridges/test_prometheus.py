"""The host's own Prometheus page shows the agent's metrics, of one process or of all together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.bridges.prometheus import Page
from heapwatch.bridges.readings import Readings
from heapwatch.failures import Failures
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.otlp import Exemplar, Histogram, Number

from tests.agent.conftest import with_bootstrap

if TYPE_CHECKING:
    from conftest import Script

client = pytest.importorskip("prometheus_client")

ENDPOINT = {"heapwatch.endpoint": 'GET /p/<path:"x">'}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def shown(page: Page, openmetrics: bool = True) -> str:
    registry = client.CollectorRegistry()
    page.register(type("prometheus_client", (), {"REGISTRY": registry}))
    exposition = pytest.importorskip("prometheus_client.openmetrics.exposition")
    text = exposition.generate_latest(registry) if openmetrics else client.generate_latest(registry)
    return str(text, "utf-8")


def test_one_process_shows_gauges_counters_and_histograms_with_exemplars(script: Script) -> None:
    exemplar = Exemplar(5000.0, 1_700_000_000.0, TRACE, "b7ad6b7169203331")
    allocated = BY_NAME["heapwatch.endpoint.allocated"]
    counts = (1, 2, *(0 for _ in allocated.buckets[1:]))
    script.points = [
        Number(BY_NAME["process.memory.usage"], 123),
        Number(BY_NAME["heapwatch.endpoint.retained"], 7.5, ENDPOINT),
        Histogram(allocated, counts, 11_000.0, ENDPOINT, {1: exemplar}),
    ]
    page = Page()
    page.readings = script.readings
    text = shown(page)
    assert "process_memory_usage_bytes 123" in text
    name = r"GET /p/<path:\"x\">"
    assert f'heapwatch_endpoint_retained_bytes_total{{heapwatch_endpoint="{name}"}} 7.5' in text
    assert f'allocated_bytes_bucket{{heapwatch_endpoint="{name}",le="4096.0"}} 1' in text
    labels = f'span_id="b7ad6b7169203331",trace_id="{TRACE}"'
    assert (
        f'le="16384.0"}} 3.0 # {{{labels}}} 5000.0' in text
        or f'le="16384.0"}} 3 # {{{labels}}} 5000.0' in text
    )
    assert f'allocated_bytes_count{{heapwatch_endpoint="{name}"}} 3' in text
    assert f'allocated_bytes_sum{{heapwatch_endpoint="{name}"}} 11000' in text
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    assert len(list(parser.text_string_to_metric_families(text))) == 3
    plain = pytest.importorskip("prometheus_client.parser")
    assert len(list(plain.text_string_to_metric_families(shown(page, openmetrics=False)))) == 3


def test_without_an_agent_the_page_is_as_before() -> None:
    assert shown(Page()) == "# EOF\n"


def test_a_failure_of_ours_leaves_the_rest_of_the_page() -> None:
    def fail() -> Any:
        raise OSError("no /proc")

    page, failures = Page(), Failures()
    page.readings = Readings(fail, failures)
    assert shown(page) == "# EOF\n"
    assert failures.counts["readings"] == 1


SHOP = """
import os
from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, generate_latest, multiprocess
app = Flask(__name__)
mine = Counter("mine", "The application's own.")
kept = []

@app.get("/keep")
def keep():
    mine.inc()
    kept.append([bytes(1000) for _ in range(100)])
    return str(os.getpid())

@app.get("/metrics")
def page():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return Response(generate_latest(registry), mimetype="text/plain")
"""


def value(page: str, line: str) -> float:
    """Of the line that begins so; 0 when there is none."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.integration
def test_workers_of_gunicorn_add_up_on_one_page_and_what_ended_ones_did_stays(
    spawn: Callable[..., Any], free_port: Callable[[], int], wait_until: Callable[..., Any], tmp_path: Path
) -> None:
    for module in ("flask", "gunicorn"):
        pytest.importorskip(module)
    import urllib.request

    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "shared").mkdir()
    port = free_port()
    environment = {
        "PYTHONPATH": with_bootstrap(),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "shared"),
        "HEAPWATCH_RUNTIME_DIR": str(tmp_path / "run"),
        "HEAPWATCH_SAMPLING_INTERVAL": "1024",
        "HEAPWATCH_SAMPLING_BUDGET": "0",
    }
    command = ["gunicorn", "shop:app", "-b", f"127.0.0.1:{port}", "-w", "2", "--max-requests", "15"]
    gunicorn = spawn(sys.executable, "-m", *command, env=environment, cwd=tmp_path)

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=300) as answer:
            return str(answer.read(), "utf-8")

    def answers() -> bool:
        try:
            return bool(get("/metrics"))
        except OSError:
            return False

    wait_until(answers)
    pids = {get("/keep") for _ in range(40)}
    assert len(pids) >= 3, "workers were not recycled"
    requests = 'http_server_request_duration_seconds_count{error_type="",http_request_method="GET",'
    requests += 'http_response_status_code="200",http_route="/keep",url_scheme="http"}'
    retained = 'heapwatch_endpoint_retained_bytes_total{heapwatch_endpoint="GET /keep"}'
    wait_until(lambda: value(get("/metrics"), requests) >= 40)
    page = get("/metrics")
    assert value(page, requests) == 40
    assert value(page, "mine_total") == 40
    assert value(page, retained) == pytest.approx(40 * 100 * 1033, rel=0.4)
    assert len(re.findall(r"^process_memory_usage_bytes\{pid=", page, re.MULTILINE)) >= 2
    assert "Traceback" not in gunicorn.output


def test_what_happened_just_before_the_end_is_written(tmp_path: Path) -> None:
    code = f"""
import heapwatch, os, prometheus_client
heapwatch.start(runtime_dir={str(tmp_path / "run")!r})
from heapwatch.door import host
page = host.resident.bridges.page.readings
page.points()
with heapwatch.tag("last"):
    pass
heapwatch.stop()
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(str(generate_latest(registry), "utf-8"))
"""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = 'heapwatch_task_duration_seconds_count{heapwatch_endpoint="last",heapwatch_outcome="success"}'
    assert value(done.stdout, line) == 1, done.stdout
