"""The whole way: our page, a real Prometheus with our rules, a real Alertmanager, a webhook."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from heapwatch_alerts.delivery import Alertmanager, Webhook
from heapwatch_alerts.links import Links
from heapwatch_alerts.page import read
from heapwatch_alerts.prometheus import alertmanager_document, rules_document, scrape_document
from heapwatch_alerts.watch import Watch

LINKS = Links("https://books.example/runbooks", "https://memory.example")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-alertmanager"))),
        reason="prometheus and prometheus-alertmanager are not installed",
    ),
]


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Any, spawn: Any, free_port: Any, wait_until: Any) -> str:
    """Address (HOST:PORT) of an Alertmanager with our routes, impatient, that tells `receiver`."""
    document = alertmanager_document(receiver.url + "/hook")
    for route in (document["route"], *document["route"]["routes"]):
        route.update(group_wait="0s", group_interval="1s")
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    spawn(
        "prometheus-alertmanager",
        "--config.file=alertmanager.yml",
        "--storage.path=alertmanager",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        cwd=tmp_path,
    ).wait_line("Listening on")
    return address


@pytest.fixture
def prometheus(tmp_path: Path, receiver: Any, spawn: Any, free_port: Any, alertmanager: str) -> str:
    """Address of a Prometheus that scrapes `receiver`'s page each second and knows our rules."""
    document = scrape_document(receiver.host, "", "rules.yml", alertmanager)
    document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules_document(LINKS)))
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_port()}"
    spawn(
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
        cwd=tmp_path,
    ).wait_line("Server is ready")
    return address


def said(alerts: list[dict[str, Any]]) -> set[tuple[tuple[str, str], ...]]:
    """Labels and annotations of `alerts`, to be compared."""
    return {tuple(sorted({**alert["labels"], **alert["annotations"]}.items())) for alert in alerts}


def test_prometheus_and_the_embedded_evaluator_say_the_same(
    receiver: Any, prometheus: str, cases: Any, text_of: Any, wait_until: Callable[..., Any]
) -> None:
    leak = cases["MemoryLeak"].firing
    receiver.page = text_of(leak, 600)
    wait_until(lambda: receiver.alerts("firing"), what="a firing alert by way of Alertmanager")
    from_prometheus = said(receiver.alerts("firing"))
    receiver.posts.clear()

    watch = Watch(lambda: read(receiver.url, ""), receiver.host, [Webhook(receiver.url + "/own", LINKS, 60)])
    watch.step(1_700_000_000.0)
    own = [body for path, body in receiver.posts if path == "/own"]
    assert said([alert for body in own for alert in body["alerts"]]) == from_prometheus

    receiver.posts.clear()
    receiver.page = ""
    wait_until(lambda: receiver.alerts("resolved"), what="a resolved alert by way of Alertmanager")
    assert said(receiver.alerts("resolved")) == from_prometheus


def test_the_embedded_evaluator_drives_an_alertmanager(
    receiver: Any, alertmanager: str, cases: Any, text_of: Any, wait_until: Callable[..., Any], clock: Any
) -> None:
    receiver.page = text_of(cases["MemoryLeak"].firing, 600)
    sender = Alertmanager(f"http://{alertmanager}", LINKS)
    watch = Watch(lambda: read(receiver.url, ""), receiver.host, [sender])
    watch.step(clock())
    wait_until(lambda: receiver.alerts("firing"), what="a firing alert by way of Alertmanager")
    (alert,) = receiver.alerts("firing")
    assert alert["labels"]["alertname"] == "HeapwatchMemoryLeak"
    assert alert["annotations"]["summary"] == "shop leaks 19.53kiB/s at Feed.load (shop/feed.py:17)"
    receiver.page = ""
    watch.step(clock())
    wait_until(lambda: receiver.alerts("resolved"), what="a resolved alert by way of Alertmanager")
