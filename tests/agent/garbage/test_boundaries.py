"""Whoever listens hears of each response that is out, and no request runs for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.wsgi import WsgiMiddleware
from heapwatch.sampler import Labels, NullSampler


@pytest.fixture
def requests() -> Requests:
    return Requests(NullSampler("scripted", Labels()))


def respond(requests: Requests, body: Iterable[bytes]) -> Any:
    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return body

    return WsgiMiddleware(application, requests)({"REQUEST_METHOD": "GET"}, lambda status, headers: None)


@pytest.mark.parametrize(
    "body", [[b"a", b"b"], (b"a", b"b"), iter([b"a", b"b"])], ids=["list", "tuple", "stream"]
)
def test_the_boundary_is_when_the_server_has_sent_everything(
    requests: Requests, body: Iterable[bytes]
) -> None:
    heard: list[int] = []
    requests.in_flight.on_boundary = heard.append
    other = requests.in_flight.enter()
    response = respond(requests, body)
    assert list(response) == [b"a", b"b"]
    assert heard == []
    response.close()
    assert heard == [1]
    requests.in_flight.leave(other, 0.0)
    assert not requests.in_flight.running


def test_a_list_stays_a_list_whose_length_the_server_may_ask(requests: Requests) -> None:
    assert len(respond(requests, [b"whole"])) == 1


def test_a_response_that_nobody_reads_or_closes_does_not_run_for_ever(requests: Requests) -> None:
    response = respond(requests, iter([b"a"]))
    assert len(requests.in_flight.running) == 1
    del response
    assert not requests.in_flight.running


def test_an_application_that_raises_ends_its_request(requests: Requests) -> None:
    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        WsgiMiddleware(application, requests)({"REQUEST_METHOD": "GET"}, lambda status, headers: None)
    assert not requests.in_flight.running
