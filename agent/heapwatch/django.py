"""Django middleware, for services that say in code what they use. First of all:

    MIDDLEWARE = ["heapwatch.django.Middleware", ...]
    HEAPWATCH = {"service": "shop"}  # settings of heapwatch.start, if any

Nothing is counted twice where Django is measured without it as well.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from heapwatch.door import host, start
from heapwatch.instrument.adapters import look_inside
from heapwatch.instrument.asgi import by_steps
from heapwatch.instrument.guard import Refusal
from heapwatch.instrument.requests import Request
from heapwatch.instrument.traces import trace_of
from heapwatch.instrument.work import current


class Middleware:
    """Starts the agent unless it runs, and measures the requests that go through it, under WSGI and ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        start(**getattr(sys.modules["django.conf"].settings, "HEAPWATCH", {}))
        look_inside()
        self._get_response = get_response
        asgiref = sys.modules["asgiref.sync"]
        self._awaits = asgiref.iscoroutinefunction(get_response)
        if self._awaits:
            asgiref.markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """The response, or what awaits it."""
        if isinstance(current(), Request):  # the one around measures
            return self._get_response(request)
        return self._respond_later(request) if self._awaits else self._respond(request)

    def _respond(self, request: Any) -> Any:
        requests = host.resident.requests
        guard = requests.guard
        if guard is not None and (refusal := guard.refuse(request.path)):
            return _refused(refusal)
        work = requests.begin(request.method or "", request.scheme)
        with _failing(work):
            try:
                ask = self._get_response
                response = ask(request) if guard is None else guard.call(work, ask, request)
            except Refusal as refusal:
                response = _refused(refusal)
        return _answered(work, request, response)

    async def _respond_later(self, request: Any) -> Any:
        requests = host.resident.requests
        guard = requests.guard
        if guard is not None and (refusal := guard.refuse(request.path)):
            return _refused(refusal)
        work = requests.begin(request.method or "", request.scheme)
        answers: list[Any] = []
        with _failing(work):
            try:
                asked = self._get_response(request)
                served = _into(answers, asked if work.cpu is None else by_steps(work.cpu, asked))
                await (served if guard is None else guard.attend(work, served))
                response = answers.pop()
            except Refusal as refusal:
                response = _refused(refusal)
        return _answered(work, request, response)


async def _into(answers: list[Any], awaited: Awaitable[Any]) -> None:
    answers.append(await awaited)


@contextmanager
def _failing(work: Request) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        work.failed(error)
        work.end()
        raise


def _refused(refusal: Refusal) -> Any:
    headers = dict(refusal.headers())
    return sys.modules["django.http"].HttpResponse(refusal.body, status=refusal.status, headers=headers)


def _answered(work: Request, request: Any, response: Any) -> Any:
    """A response that is still being made keeps the request running until the server closes it."""
    work.started(str(response.status_code), trace_of(request.META.get("HTTP_TRACEPARENT")))
    if not response.streaming:
        work.end()
    response._resource_closers.append(work.sent)
    return response
