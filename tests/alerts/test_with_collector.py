"""`heapwatch alerts run` against a real collector."""

from __future__ import annotations

import gzip
import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from heapwatch_alerts.evidence import details
from heapwatch_alerts.page import read
from heapwatch_alerts.rules import BY_ALERT
from heapwatch_alerts.states import Alert
from heapwatch_alerts.watch import Watch
from heapwatch_wire import otlp
from heapwatch_wire.analysis import Analysis, InstanceForecast
from heapwatch_wire.evidence import (
    Evidence,
    Forecast,
    Growth,
    Holder,
    Part,
    Recommendation,
    Share,
    Site,
    to_json,
)
from heapwatch_wire.metrics import BY_NAME
from heapwatch_wire.native import outside_site

pytestmark = [pytest.mark.integration]

TOKEN = "s3cret"  # noqa: S105
INSTANCE = "web-1-9c2"


@pytest.fixture
def collector(heapwatch: list[str], spawn: Any, tmp_path: Path) -> str:
    """Address of a collector with a token."""
    words = ["serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--token", TOKEN]
    words += ["--commit-interval", "0.01"]
    line = spawn(*heapwatch, *words).wait_line("listening on")
    return line.split()[-1]


def post(address: str, path: str, body: bytes, **headers: str) -> None:
    request = urllib.request.Request(address + path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
    with urllib.request.urlopen(request, timeout=300) as answer:
        assert answer.status == 200


def number(metric: str, value: float) -> otlp.Number:
    return otlp.Number(BY_NAME[metric], value)


def push_metrics(address: str, *points: otlp.Number) -> None:
    resource = {
        "service.name": "shop",
        "service.version": "1.4",
        "service.instance.id": INSTANCE,
        "process.pid": "4711",
    }
    body = otlp.encode(resource, points, start=time.time() - 60, now=time.time())
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
    post(address, "/v1/metrics", gzip.compress(body), **headers)


def leak() -> Evidence:
    return Evidence(
        verdict="leak",
        service="shop",
        version="1.4",
        site=Site("5f0c", "Feed.load", "shop/feed.py", 17),
        type="Session",
        live_bytes=1e6,
        live_objects=1e3,
        growth=Growth(1024.0, 900.0, 1100.0, 1.0),
        time=time.time(),
        holders=(Holder("shop.feed.SESSIONS['u:17']", "module", ("dict", "Session"), 1.0),),
        endpoints=(Share("GET /feed", 1.0),),
        forecast=Forecast(8e8, 1e9, 7200.0, 6000.0, 9000.0),
        recommendation=Recommendation("Bound the cache", "Remove entries of users who left."),
    )


def push_analysis(address: str, *verdicts: Evidence) -> None:
    analysis = Analysis(
        service="shop",
        version="1.4",
        time=time.time(),
        window=600.0,
        status="leak" if verdicts else "no leak",
        instances=1,
        verdicts=verdicts,
        forecasts=(InstanceForecast(INSTANCE, 3e4, 2e4, 4e4, Forecast(8e8, 1e9, 1800.0, 1e3, None)),),
    )
    body = json.dumps(to_json(analysis)).encode()
    post(address, "/api/v1/analyses", body, **{"Content-Type": "application/json"})


def test_a_leak_reaches_the_webhook_with_its_evidence_and_ends(
    collector: str, heapwatch: list[str], spawn: Any, receiver: Any, wait_until: Callable[..., Any]
) -> None:
    push_analysis(collector, leak())
    words = [
        "--collector",
        collector,
        "--token",
        TOKEN,
        "--webhook",
        receiver.url,
        "--evaluation-interval",
        "1",
    ]
    child = spawn(*heapwatch, "alerts", "run", *words)
    child.wait_line(
        "firing: HeapwatchMemoryLeak (critical): shop leaks 1kiB/s at Feed.load (shop/feed.py:17)"
    )
    (alert,) = wait_until(lambda: receiver.alerts("firing"), what="a firing alert")
    assert alert["annotations"] | {"action": "", "summary": "", "runbook_url": ""} == {
        "action": "",
        "summary": "",
        "runbook_url": "",
        "evidence_url": f"{collector}/#/services/shop/leaks/5f0c?version=1.4",
        "leaks": "Session, 3.516MiB an hour (3.09MiB to 3.777MiB at 95%)",
        "in": "1 of 1 instances",
        "held_by": "shop.feed.SESSIONS['u:17']",
        "made_by": "GET /feed",
        "limit_in": "2h 0m 0s",
        "change": "Bound the cache: Remove entries of users who left.",
    }
    push_analysis(collector)
    wait_until(lambda: receiver.alerts("resolved"), what="the resolved alert")
    assert child.stop() == 0
    assert "0 failed" in child.output


def test_every_label_that_rules_group_by_is_on_the_page(collector: str) -> None:
    push_metrics(
        collector,
        number("container.memory.working_set", 9e8),
        number("heapwatch.container.memory.limit", 1e9),
        number("heapwatch.sampler.displaced", 1),
    )
    push_analysis(collector, leak())
    watch = Watch(lambda: read(collector, TOKEN), "collector", [])
    for second in range(0, 601, 30):
        watch.step(1_700_000_000.0 + second)
    firing = {alert.rule.name: dict(alert.group) for alert in watch.firing}
    instance = {"service": "shop", "version": "1.4", "instance": INSTANCE}
    wanted = ("MemoryHigh", "MemoryCritical", "SamplerDisplaced", "MemoryLimitNear", "MemoryLimitImminent")
    assert {name: firing[name] for name in wanted} == dict.fromkeys(wanted, instance)
    assert set(firing["MemoryLeak"]) == set(BY_ALERT["MemoryLeak"].condition.by)


def test_a_wrong_token_is_said_and_counted(
    collector: str, heapwatch: list[str], spawn: Any, receiver: Any
) -> None:
    words = ["--collector", collector, "--webhook", receiver.url, "--evaluation-interval", "1"]
    child = spawn(*heapwatch, "alerts", "run", *words)
    child.wait_line("not read: ")
    assert child.stop() == 0
    assert "401" in child.output
    assert receiver.posts == []


def test_an_alert_on_growth_says_what_grows_outside_of_python(collector: str) -> None:
    labels = {"service": "shop", "version": "1.4", "instance": INSTANCE}
    alert = Alert(BY_ALERT["MemoryGrowth"], tuple(labels.items()), 4e4, time.time())
    assert details(alert, collector, TOKEN) == {}
    parts = (Part("malloc used", 9e7, 4e4), Part("files", 2e7, 0.0))
    grows = replace(leak(), verdict="suspicion", site=outside_site(), kind="native", type="", holders=())
    push_analysis(collector, replace(grows, endpoints=(), parts=parts, suspects=("lxml", "numpy")))
    told = details(alert, collector, TOKEN)
    assert told["outside_python"] == "3.516MiB an hour (3.09MiB to 3.777MiB at 95%)"
    assert told["parts"].startswith("malloc used 137.3MiB an hour, files 0B an hour")
    assert told["may_be"] == "lxml, numpy"
    assert "leaks" not in told
