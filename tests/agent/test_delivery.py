"""Deliveries to a collector that is down, slow, ill or unwilling, over real sockets."""

from __future__ import annotations

import dataclasses
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from heapwatch.delivery import Courier, Delivery, retry_after
from heapwatch.failures import Failures
from heapwatch_wire.config import ConfigError
from heapwatch_wire.settings import AgentSettings

from tests.agent.conftest import hang

if TYPE_CHECKING:
    from conftest import Collector


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def numbered(number: int, lost: list[int] | None = None) -> Delivery:
    note = None if lost is None else lambda: lost.append(number)
    return Delivery("metrics", "/v1/metrics", "application/x-protobuf", str(number).encode(), note)


def bodies(collector: Collector) -> list[int]:
    return [int(received.body) for received in collector.received]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def courier(collector: Collector, clock: Clock) -> Courier:
    settings = AgentSettings(collector=collector.url, queue_size=4, push_timeout=30.0, token="opensesame")  # noqa: S106
    return Courier(settings, Failures(), clock, chance=lambda: 1.0)


@pytest.fixture
def hasty(collector: Collector) -> Courier:
    """Waits half a second for a collector that never answers."""
    collector.answer = hang
    return Courier(AgentSettings(collector=collector.url, push_timeout=0.5), Failures())


def test_deliveries_arrive_in_order_with_headers(courier: Courier, collector: Collector) -> None:
    for number in range(3):
        courier.offer(numbered(number))
    courier.deliver()
    assert bodies(collector) == [0, 1, 2]
    headers = collector.received[0].headers
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Authorization"] == "Bearer opensesame"
    assert (courier.delivered, len(courier)) == (3, 0)


def test_beyond_the_queue_the_oldest_are_dropped_and_counted(courier: Courier, collector: Collector) -> None:
    lost: list[int] = []
    for number in range(10):
        courier.offer(numbered(number, lost))
    assert (len(courier), courier.dropped, lost) == (4, {"queue_full": 6}, [0, 1, 2, 3, 4, 5])
    courier.deliver()
    assert bodies(collector) == [6, 7, 8, 9]


def test_a_collector_that_is_down_is_left_alone_and_delivery_resumes(
    clock: Clock, free_port: Callable[[], int], collector: Collector
) -> None:
    settings = AgentSettings(collector=f"http://127.0.0.1:{free_port()}")
    courier = Courier(settings, Failures(), clock, chance=lambda: 1.0)
    courier.offer(numbered(1))
    pauses = []
    for _ in range(9):
        courier.deliver()
        pauses.append(courier._not_before - clock.now)
        clock.now = courier._not_before
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    courier._address = Courier(dataclasses.replace(settings, collector=collector.url), Failures())._address
    courier.deliver()
    assert bodies(collector) == [1]
    assert courier.dropped == {}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_an_ill_collector_gets_the_delivery_later(
    courier: Courier, collector: Collector, clock: Clock, status: int
) -> None:
    collector.answer = lambda handler: handler.reply(status)
    courier.offer(numbered(1))
    courier.deliver()
    courier.deliver()
    assert len(collector.attempts) == 1
    collector.answer = lambda handler: handler.reply(200)
    clock.now += 1.0
    courier.deliver()
    assert (bodies(collector), courier.dropped) == ([1], {})


def test_retry_after_is_obeyed(courier: Courier, collector: Collector, clock: Clock) -> None:
    collector.answer = lambda handler: handler.reply(429, Retry_After="30")
    courier.offer(numbered(1))
    courier.deliver()
    clock.now += 29.0
    courier.deliver()
    assert len(collector.attempts) == 1
    clock.now += 1.0
    courier.deliver()
    assert len(collector.attempts) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 413, 302])
def test_a_refused_delivery_is_dropped_and_the_next_one_sent(
    courier: Courier, collector: Collector, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []
    collector.answer = lambda handler: handler.reply(200 if len(collector.attempts) > 1 else status)
    with caplog.at_level(logging.WARNING, "heapwatch"):
        courier.offer(numbered(1, lost))
        courier.offer(numbered(2, lost))
        courier.deliver()
    assert (bodies(collector), courier.dropped, lost) == ([2], {f"status_{status}": 1}, [1])
    assert f"answered {status}" in caplog.text
    assert ("HEAPWATCH_TOKEN" in caplog.text) == (status == 401)


def test_a_slow_collector_takes_no_longer_than_the_limit(hasty: Courier, collector: Collector) -> None:
    hasty.offer(numbered(1))
    hasty.offer(numbered(2))
    began = time.monotonic()
    hasty.deliver()
    assert time.monotonic() - began < 60
    assert (len(hasty), hasty.delivered) == (2, 0)
    assert len(collector.attempts) <= 1, "a collector that hangs is left alone"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 2", b"\x00" * 100])
def test_nonsense_for_an_answer_is_an_unreachable_collector(answer: bytes, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        failures = Failures()
        courier = Courier(AgentSettings(collector=url, push_timeout=30.0), failures, clock)
        courier.offer(numbered(1))
        courier.deliver()
        thread.join()
    assert (len(courier), courier.delivered, failures.counts) == (1, 0, {"delivery": 1})


def test_an_endless_answer_is_not_read_to_its_end(courier: Courier, collector: Collector) -> None:
    collector.answer = lambda handler: handler.reply(200, b"x" * (4 << 20))
    courier.offer(numbered(1))
    courier.offer(numbered(2))
    courier.deliver()
    assert (courier.delivered, len(courier)) == (2, 0)


def test_the_last_deliveries_are_bounded_in_time(hasty: Courier) -> None:
    for number in range(3):
        hasty.offer(numbered(number))
    began = time.monotonic()
    hasty.drain(0.5)
    assert time.monotonic() - began < 60
    assert (len(hasty), hasty.dropped) == (0, {"exit": 3})


def test_the_first_failure_of_a_kind_is_logged_and_all_are_counted(
    clock: Clock, free_port: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    failures = Failures()
    courier = Courier(AgentSettings(collector=f"http://127.0.0.1:{free_port()}"), failures, clock)
    with caplog.at_level(logging.WARNING, "heapwatch"):
        for _ in range(5):
            courier.offer(numbered(1))
            courier.deliver()
            clock.now += 100
    assert failures.counts == {"delivery": 5}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1:4040", "ftp://x", "http://", "http://x:port", "x", "http://[::1"]
)
def test_a_bad_address_names_the_setting(address: str) -> None:
    with pytest.raises(ConfigError, match=r"HEAPWATCH_COLLECTOR=.*expected an address such as"):
        Courier(AgentSettings(collector=address), Failures())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("1.5", 1.5),
        ("-3", 0),
        ("nan", 0),
        ("soon", 0),
        ("1e99", 300),
        ("Fri, 20 Nov 2026 10:00:30 GMT", 30),
        ("Fri, 20 Nov 2026 09:00:00 GMT", 0),
    ],
)
def test_retry_after_in_all_its_forms(text: str, seconds: float) -> None:
    assert retry_after(text, now=1795168800.0) == seconds
