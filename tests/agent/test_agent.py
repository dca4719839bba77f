"""The background thread: tasks come round, failures stay inside, the end is bounded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.agent import Agent
from heapwatch.delivery import Courier, Delivery
from heapwatch.failures import Failures
from heapwatch.identity import identify
from heapwatch.leaks.tracker import LeakTracker
from heapwatch.sampler import OWN_WORK
from heapwatch_wire.settings import AgentSettings

if TYPE_CHECKING:
    from conftest import Collector, ScriptedSampler


@pytest.fixture
def agent(sampler: ScriptedSampler) -> Iterator[Agent]:
    settings = AgentSettings(service="shop")
    identity = identify(settings)
    agent = Agent(settings, identity, sampler, LeakTracker(sampler, settings, identity), Failures())
    yield agent
    agent.stop(60.0)


def test_tasks_come_round_with_the_time_and_one_shots_once(
    agent: Agent, wait_until: Callable[..., Any]
) -> None:
    times: list[float] = []
    once: list[int] = []
    agent.every(0.02, "beat", times.append)
    agent.once("hello", lambda: once.append(threading.get_ident()))
    agent.start()
    wait_until(lambda: len(times) >= 5)
    assert abs(times[-1] - time.time()) < 60
    assert len(once) == 1
    assert once != [threading.get_ident()]


def test_a_failing_task_is_counted_logged_once_and_called_again(
    agent: Agent, wait_until: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    beats: list[float] = []
    agent.every(0.01, "broken", lambda now: {}["missing"])
    agent.every(0.01, "beat", beats.append)
    with caplog.at_level(logging.WARNING, "heapwatch"):
        agent.start()
        wait_until(lambda: agent.failures.counts["broken"] >= 3 and len(beats) >= 3)
    assert [record.name for record in caplog.records] == ["heapwatch"]
    assert "broken failed, the service goes on: KeyError" in caplog.text
    assert agent.status()["errors"]["broken"] >= 3


def test_closing_actions_run_last_first_and_only_at_the_end(agent: Agent) -> None:
    order: list[str] = []
    agent.at_stop("a", lambda: order.append("a"))
    agent.at_stop("b", lambda: order.append("b"))
    agent.start()
    agent.pause(60.0)
    assert (order, agent.running) == ([], False)
    agent.start()
    first = agent._thread
    agent.start()
    assert agent._thread is first
    agent.stop(60.0)
    assert (order, agent.running) == (["b", "a"], False)


def test_a_stuck_task_holds_up_the_end_no_longer_than_the_limit(agent: Agent) -> None:
    release, entered = threading.Event(), threading.Event()

    def stuck(now: float) -> None:
        entered.set()
        release.wait(240)

    agent.every(0.01, "stuck", stuck)
    agent.start()
    entered.wait(240)
    began = time.monotonic()
    agent.stop(0.2)
    assert time.monotonic() - began < 60
    release.set()


def test_two_threads_of_an_agent_never_run_tasks_at_once(
    agent: Agent, wait_until: Callable[..., Any]
) -> None:
    release, entered, beats = threading.Event(), threading.Event(), []

    def slow(now: float) -> None:
        beats.append(now)
        entered.set()
        release.wait(240)

    agent.every(0.01, "slow", slow)
    agent.start()
    entered.wait(240)
    agent.pause(0.01)
    agent.start()
    assert len(beats) == 1
    release.set()
    wait_until(lambda: len(beats) >= 3)


def test_its_own_allocations_are_labelled(
    agent: Agent, sampler: ScriptedSampler, wait_until: Callable[..., Any]
) -> None:
    agent.start()
    wait_until(lambda: OWN_WORK in {sampler.labels.name(label) for label in sampler.threads.values()})


def test_status_counts_deliveries_also_when_none_waits(
    sampler: ScriptedSampler, collector: Collector
) -> None:
    settings = AgentSettings(collector=collector.url)
    identity = identify(settings)
    courier = Courier(settings, Failures())
    tracker = LeakTracker(sampler, settings, identity)
    agent = Agent(settings, identity, sampler, tracker, Failures(), courier)
    courier.offer(Delivery("metrics", "/v1/metrics", "", b""))
    courier.deliver()
    found = agent.status()["collector"]
    assert found == {"address": collector.url, "waiting": 0, "delivered": 1, "dropped": {}}
