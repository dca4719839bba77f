"""Requests are named and timed, whatever the application and the server do with them."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from heapwatch.instrument.endpoints import Endpoint, Outcome
from heapwatch.instrument.hook import when_imported
from heapwatch.instrument.points import request_points
from heapwatch.instrument.requests import Requests
from heapwatch.instrument.wsgi import REQUEST_KEY, WsgiMiddleware
from heapwatch.scopes import CURRENT

if TYPE_CHECKING:
    from conftest import ScriptedSampler


@pytest.fixture
def requests(sampler: ScriptedSampler) -> Requests:
    return Requests(sampler)


def label(sampler: ScriptedSampler) -> str:
    """What a sample taken now would be labelled with."""
    scope = CURRENT.get()
    return "" if scope is None else sampler.labels.name(scope.label)


def counted(requests: Requests) -> dict[tuple[str, str], int]:
    """Requests by endpoint and outcome."""
    return {
        (totals.endpoint.name, outcome.status): sum(durations.counts)
        for totals in requests.totals()
        for outcome, durations in totals.outcomes.items()
    }


def durations(requests: Requests) -> list[Any]:
    """Attributes of the metric of durations."""
    name = "http.server.request.duration"
    return [point.attributes for point in request_points(requests.totals()) if point.metric.name == name]


def call(application: Any, method: str = "GET", **environ: Any) -> tuple[Any, list[str]]:
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/", **environ}
    return application(environ, lambda status, headers, exc_info=None: statuses.append(status)), statuses


def test_a_request_is_labelled_while_it_runs_and_counted_at_its_end(
    requests: Requests, sampler: ScriptedSampler
) -> None:
    seen = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ[REQUEST_KEY].matched("/p/<int:id>")
        seen.append(label(sampler))
        start_response("201 CREATED", [])
        return [b"ok"]

    body, statuses = call(WsgiMiddleware(application, requests), "POST")
    assert (list(body), statuses, seen) == ([b"ok"], ["201 CREATED"], ["POST /p/<int:id>"])
    assert label(sampler) == ""
    [totals] = requests.totals()
    assert totals.endpoint == Endpoint("POST /p/<int:id>", "request", "POST", "/p/<int:id>")
    assert counted(requests) == {("POST /p/<int:id>", "201"): 1}
    assert 0 < totals.outcomes[Outcome("201", "", "http")].sum < 100


@pytest.mark.parametrize("how", ["exhausted", "closed", "forgotten", "unread"])
def test_a_streamed_response_keeps_the_request_running(
    requests: Requests, sampler: ScriptedSampler, how: str
) -> None:
    def application(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield label(sampler).encode()
        yield b"more"

    body, _ = call(WsgiMiddleware(application, requests))
    chunks = iter(body if how != "unread" else [b"GET"])
    assert next(chunks) == b"GET"
    assert requests.totals() == []
    if how == "exhausted":
        assert list(chunks) == [b"more"]
    if how == "closed":
        body.close()
    del body, chunks
    assert list(counted(requests).values()) == [1]
    assert label(sampler) == ""


def test_a_file_reaches_the_server_unwrapped(requests: Requests) -> None:
    class FileWrapper:
        def __init__(self, file: io.BytesIO) -> None:
            self.file = file

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x"))

    body, _ = call(WsgiMiddleware(application, requests), **{"wsgi.file_wrapper": FileWrapper})
    assert isinstance(body, FileWrapper)
    assert len(requests.totals()) == 1


def test_an_exception_passes_and_counts_as_500(requests: Requests, sampler: ScriptedSampler) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        call(WsgiMiddleware(application, requests), **{"wsgi.url_scheme": "https"})
    assert counted(requests) == {("GET", "500"): 1}
    assert label(sampler) == ""
    assert durations(requests) == [
        {
            "http.request.method": "GET",
            "url.scheme": "https",
            "http.response.status_code": "500",
            "error.type": "KeyError",
        }
    ]


def test_durations_have_the_attributes_of_the_semantic_conventions(requests: Requests) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        environ[REQUEST_KEY].matched("/p/<int:id>")
        start_response(environ["PATH_INFO"], [])
        return []

    for status in ("200 OK", "404 Not Found", "503 Service Unavailable"):
        call(WsgiMiddleware(application, requests), PATH_INFO=status)
    same = {"http.request.method": "GET", "url.scheme": "http", "http.route": "/p/<int:id>"}
    assert durations(requests) == [
        {**same, "http.response.status_code": "200"},
        {**same, "http.response.status_code": "404"},
        {**same, "http.response.status_code": "503", "error.type": "503"},
    ]


def test_wrapping_twice_counts_once(requests: Requests) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    call(WsgiMiddleware(WsgiMiddleware(application, requests), requests))
    assert list(counted(requests).values()) == [1]


def test_unknown_methods_are_one(requests: Requests) -> None:
    requests.begin("BREW").end()
    assert counted(requests) == {("_OTHER", "500"): 1}


def test_a_job_may_have_the_name_of_a_request(requests: Requests) -> None:
    requests.begin_job("GET").end()
    requests.begin("GET").end()
    requests.begin_task("_OTHER").end()
    requests.begin("BREW").end()
    kinds = {
        (totals.endpoint.name, totals.endpoint.kind, totals.endpoint.method) for totals in requests.totals()
    }
    assert kinds == {
        ("GET", "job", ""),
        ("GET", "request", "GET"),
        ("_OTHER", "task", ""),
        ("_OTHER", "request", "_OTHER"),
    }
    series = [(point.metric.name, *point.attributes.items()) for point in request_points(requests.totals())]
    assert len(series) == len(set(series)), "a metric has each combination of attributes once"


def test_flask_routes_name_the_work_without_a_change_to_the_application(
    requests: Requests, sampler: ScriptedSampler
) -> None:
    flask = pytest.importorskip("flask")
    from heapwatch.instrument.flask import instrument, instrument_routes

    original, match_request = flask.Flask.wsgi_app, flask.ctx.RequestContext.match_request
    instrument(flask, requests)
    instrument_routes(flask.ctx)
    try:
        app = flask.Flask("shop")
        seen = []

        @app.get("/p/<int:number>")
        def page(number: int) -> str:
            seen.append(label(sampler))
            return str(number)

        @app.get("/broken")
        def broken() -> str:
            raise ValueError

        client = app.test_client()
        assert client.get("/p/7").text == "7"
        assert client.get("/p/8").text == "8"
        assert "Internal Server Error" in client.get("/broken").text
        assert "Not Found" in client.get("/nowhere").text
    finally:
        flask.Flask.wsgi_app, flask.ctx.RequestContext.match_request = original, match_request
    assert seen == ["GET /p/<int:number>"] * 2
    assert counted(requests) == {
        ("GET /p/<int:number>", "200"): 2,
        ("GET /broken", "500"): 1,
        ("GET", "404"): 1,
    }


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "heapwatch_test_target.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield "heapwatch_test_target"
    sys.meta_path[:] = before
    sys.modules.pop("heapwatch_test_target", None)


def test_a_module_is_met_after_its_import(package: str) -> None:
    met: list[ModuleType] = []
    when_imported(package, met.append)
    assert met == []
    module = __import__(package)
    assert met == [module]
    assert module.ready
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    when_imported(package, met.append)
    assert met == [module, module]


def test_a_module_that_is_not_there_stays_so(package: str) -> None:
    when_imported("heapwatch_test_missing", lambda module: None)
    with pytest.raises(ModuleNotFoundError):
        __import__("heapwatch_test_missing")
