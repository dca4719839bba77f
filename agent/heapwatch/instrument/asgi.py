"""ASGI middleware: measures each request, also while it waits among others on the same thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from types import coroutine
from typing import Any, TypeAlias

from heapwatch.instrument.cpu import CpuClock
from heapwatch.instrument.guard import BrokenOff, refusal_in
from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.traces import trace_of

AsgiScope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[AsgiScope, Receive, Send], Coroutine[Any, Any, None]]

REQUEST_KEY = "heapwatch.request"
"""Where the scope carries the running Request, for frameworks that learn the route later."""


class AsgiMiddleware:
    """Wraps an ASGI application; frameworks say the route: `scope["heapwatch.request"].matched(route)`.

    A request's duration ends with its response; what the application does afterwards, such as background
    tasks, still counts for its memory. A WebSocket is a task, "WEBSOCKET /chat".
    """

    def __init__(self, application: Application, requests: Requests) -> None:
        self._application = application
        self._requests = requests

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] not in ("http", "websocket") or REQUEST_KEY in scope:
            await self._application(scope, receive, send)
            return
        guard = self._requests.guard if scope["type"] == "http" else None
        if guard is not None and (refusal := guard.refuse(scope["path"])):
            await refusal.answer_asgi(send)
            return
        request = scope[REQUEST_KEY] = (
            self._requests.begin(scope["method"], scope.get("scheme", "http"))
            if scope["type"] == "http"
            else self._requests.begin_connection()
        )

        def sending(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.start":
                request.started(str(message["status"]), trace_of(_traceparent(scope)))
            elif kind == "http.response.body" and not message.get("more_body"):
                request.answered()
            return send(message)

        try:
            application: Awaitable[None] = self._application(scope, receive, sending)
            served = application if request.cpu is None else by_steps(request.cpu, application)
            await (served if guard is None else guard.attend(request, served))
        except BaseException as error:
            refusal = refusal_in(error)
            if refusal is None:
                request.failed(error)
                raise
            if request.answering:
                broken_off = BrokenOff()
                request.failed(broken_off)
                raise broken_off from None
            request.started(str(refusal.status))
            await refusal.answer_asgi(send)
        finally:
            request.sent()


def _traceparent(scope: AsgiScope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value, "latin-1")
    return None


@coroutine
def by_steps(cpu: CpuClock, awaited: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Awaits `awaited`, and tells `cpu` when the event loop resumes it and when it waits again.

    Passes on what is sent and thrown, as `yield from` does (PEP 380).
    """
    steps: Any = awaited.__await__()
    resume, argument = steps.send, None
    while True:
        cpu.step_began()
        try:
            waits_for = resume(argument)
        except StopIteration as end:
            return end.value
        finally:
            cpu.step_ended()
        try:
            resume, argument = steps.send, (yield waits_for)
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            resume, argument = steps.throw, error


def request_of(scope: AsgiScope) -> Request | None:
    """The request that a framework serves with `scope`."""
    found = scope.get(REQUEST_KEY)
    return found if isinstance(found, Request) else None
