"""What receivers are told, when, and what happens when they don't answer."""

from __future__ import annotations

from typing import Any

import pytest
from heapwatch_alerts.delivery import Alertmanager, Webhook
from heapwatch_alerts.links import Links

LINKS = Links("https://books.example/runbooks", "https://memory.example/")
HOUR = 3600.0


def limited(share: Any, line: Any, instance: str = "web-1-9c2") -> list[Any]:
    """An instance that uses `share(minute)` of its memory limit."""
    labels = {"service": "shop", "version": "1.4", "instance": instance}
    return [
        line("container_memory_working_set_bytes", labels, lambda t: share(t / 60) * 1e9),
        line("heapwatch_container_memory_limit_bytes", labels, lambda t: 1e9),
    ]


@pytest.fixture
def webhook(receiver: Any) -> Webhook:
    return Webhook(receiver.url + "/hook", LINKS, repeat=HOUR)


@pytest.mark.integration
def test_a_webhook_reads_as_alertmanagers_own(receiver: Any, webhook: Webhook, story: Any, line: Any) -> None:
    told = story(limited(lambda m: 0.9 if m < 4 else 0.1, line), senders=[webhook]).run(6)
    (path, firing), (_, resolved) = receiver.posts
    assert path == "/hook"
    assert set(firing) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert firing["version"] == "4"
    assert firing["groupLabels"] == {"alertname": "HeapwatchMemoryCritical", "service": "shop"}
    (alert,) = firing["alerts"]
    assert alert["labels"] == {
        "alertname": "HeapwatchMemoryCritical",
        "service": "shop",
        "version": "1.4",
        "instance": "web-1-9c2",
        "severity": "critical",
    }
    assert alert["annotations"]["summary"] == "shop uses 90% of its memory limit and may be killed"
    assert alert["annotations"]["runbook_url"] == "https://books.example/runbooks/memory-critical.md"
    assert alert["annotations"]["evidence_url"] == "https://memory.example/#/services/shop"
    assert alert["startsAt"] == "2023-11-14T22:15:20.000Z"
    assert alert["endsAt"] == "0001-01-01T00:00:00Z"
    (ended,) = resolved["alerts"]
    assert (resolved["status"], ended["status"]) == ("resolved", "resolved")
    assert ended["fingerprint"] == alert["fingerprint"]
    assert ended["endsAt"] == "2023-11-14T22:17:20.000Z"
    assert told.watch.counts.notifications == 2


@pytest.mark.integration
def test_repeats_are_bounded(receiver: Any, webhook: Webhook, story: Any, line: Any) -> None:
    story(limited(lambda m: 0.8, line), senders=[webhook]).run(150)
    assert [body["status"] for _, body in receiver.posts] == ["firing"] * 3


@pytest.mark.integration
def test_instances_of_a_service_share_a_notification(
    receiver: Any, webhook: Webhook, story: Any, line: Any
) -> None:
    world = [
        *limited(lambda m: 0.8, line, "a"),
        *limited(lambda m: 0.8, line, "b"),
        *limited(lambda m: 0.8 if m >= 10 else 0.1, line, "c"),
    ]
    story(world, senders=[webhook]).run(20)
    instances = [sorted(a["labels"]["instance"] for a in body["alerts"]) for _, body in receiver.posts]
    assert instances == [["a", "b"], ["a", "b", "c"]]


@pytest.mark.integration
def test_many_alerts_are_cut_and_counted(receiver: Any, webhook: Webhook, story: Any, line: Any) -> None:
    world = [row for i in range(130) for row in limited(lambda m: 0.8, line, f"web-{i}")]
    story(world, senders=[webhook]).run(6)
    ((_, body),) = receiver.posts
    assert (len(body["alerts"]), body["truncatedAlerts"]) == (100, 30)


@pytest.mark.integration
@pytest.mark.parametrize("status", [500, 404])
def test_a_webhook_that_comes_back_learns_the_state_of_then(
    status: int, receiver: Any, webhook: Webhook, story: Any, line: Any
) -> None:
    told = story(limited(lambda m: 0.9 if m < 20 else 0.1, line), senders=[webhook])
    receiver.status = status
    told.run(10)
    assert receiver.posts == []
    assert told.watch.counts.failed_notifications == 8 * 4 + 1
    receiver.status = 200
    told.run(12)
    assert {a["labels"]["alertname"] for a in receiver.alerts("firing")} == {
        "HeapwatchMemoryHigh",
        "HeapwatchMemoryCritical",
    }
    told.run(25)
    assert len(receiver.alerts("resolved")) == 2


@pytest.mark.integration
def test_what_began_and_ended_unheard_stays_unsaid(
    receiver: Any, webhook: Webhook, story: Any, line: Any
) -> None:
    told = story(limited(lambda m: 0.9 if m < 4 else 0.1, line), senders=[webhook])
    receiver.status = 503
    told.run(5)
    receiver.status = 200
    told.run(10)
    assert receiver.posts == []


def test_a_receiver_that_is_not_there_costs_one_attempt_per_evaluation(
    free_port: Any, story: Any, line: Any
) -> None:
    dead = Webhook(f"http://127.0.0.1:{free_port()}/", LINKS, repeat=HOUR)
    told = story(limited(lambda m: 0.9, line), senders=[dead]).run(10)
    assert told.watch.counts.failed_notifications == 33


@pytest.mark.integration
def test_alertmanager_is_told_each_minute_until_the_end(receiver: Any, story: Any, line: Any) -> None:
    sender = Alertmanager(receiver.url, LINKS, resend=60, lifetime=240)
    story(limited(lambda m: 0.72 if m < 8 else 0.1, line), senders=[sender]).run(12)
    assert {path for path, _ in receiver.posts} == {"/api/v2/alerts"}
    rows = [row for _, body in receiver.posts for row in body]
    assert [row["endsAt"][14:19] for row in rows] == ["22:20", "23:20", "24:20", "21:20"]
    assert {row["startsAt"] for row in rows} == {"2023-11-14T22:18:20.000Z"}
