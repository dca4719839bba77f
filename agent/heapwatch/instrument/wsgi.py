"""WSGI middleware (PEP 3333): measures each request and names the thread's work while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from heapwatch.instrument.guard import Guard, Refusal
from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.traces import trace_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_KEY = "heapwatch.request"
"""Where the environment carries the running Request, for frameworks that learn the route later."""
_END: Any = object()


class WsgiMiddleware:
    """Wraps a WSGI application; frameworks say the route: `environ["heapwatch.request"].matched(route)`."""

    def __init__(self, application: WSGIApplication, requests: Requests) -> None:
        self._application = application
        self._requests = requests

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application."""
        return serve(self._application, self._requests, environ, start_response)


def serve(
    application: WSGIApplication, requests: Requests, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Call the application; a response that is still being made keeps the request running."""
    if REQUEST_KEY in environ:  # wrapped twice: the outer one measures
        return application(environ, start_response)
    guard = requests.guard
    if guard is not None and (refusal := guard.refuse(environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"])):
        return refusal.answer_wsgi(start_response)
    request = environ[REQUEST_KEY] = requests.begin(
        environ.get("REQUEST_METHOD", ""), environ.get("wsgi.url_scheme", "http")
    )

    held = None if guard is None else _Held(start_response)
    begin: Callable[..., Any] = start_response if held is None else held

    def start(
        status: str,
        headers: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, TracebackType]
        | tuple[None, None, None]
        | None = None,
    ) -> Any:
        code = status[:3]
        request.started(code if code.isdigit() else "", trace_of(environ.get("HTTP_TRACEPARENT")))
        return begin(status, headers, exc_info) if exc_info else begin(status, headers)

    try:
        body = (
            application(environ, start) if guard is None else guard.call(request, application, environ, start)
        )
    except Refusal as refusal:
        request.started(str(refusal.status))
        request.end()
        return refusal.answer_wsgi(start_response)
    except BaseException as error:
        request.failed(error)
        request.status = "500"  # which the server answers, whatever the application has begun
        request.end()
        raise
    complete = isinstance(body, list | tuple)
    # A server sends a file wrapper itself if it gets it unwrapped.
    if complete or isinstance(body, environ.get("wsgi.file_wrapper", list)):
        if held is not None:
            held.let_go()
        request.end()
        return _Complete(body, request) if complete else body
    if guard is None or held is None:
        return _Body(body, body, request)
    return _Body(body, _guarded(body, request, guard, held, start_response), request)


class _Held:
    """A start_response of which the server hears when the body begins.

    Until then another response can take its place; not all servers let one that was started be replaced.
    """

    def __init__(self, start_response: StartResponse) -> None:
        self._start_response: Callable[..., Any] = start_response
        self._told: tuple[Any, ...] | None = None
        self._server_write: Any = None

    def __call__(self, *told: Any) -> Any:
        if self._server_write is not None:
            return self._start_response(*told)
        self._told = told
        return self._write

    def let_go(self) -> None:
        """Tell the server what is held."""
        told, self._told = self._told, None
        if told is not None:
            self._server_write = self._start_response(*told)

    def _write(self, data: bytes) -> None:
        self.let_go()
        self._server_write(data)


def _guarded(
    body: Iterable[bytes], request: Request, guard: Guard, held: _Held, start_response: StartResponse
) -> Iterator[bytes]:
    """The parts of `body`; if the request is stopped before the first, the answer to that. Else BrokenOff."""
    try:
        parts = guard.call(request, iter, body)
        while (part := guard.call(request, next, parts, _END)) is not _END:
            held.let_go()
            yield part
        held.let_go()
    except Refusal as refusal:
        answer = refusal.answer_wsgi(start_response)
        request.started(str(refusal.status))
        yield from answer


class _Complete(list[bytes]):
    """A body that is complete: still a list, whose length servers may ask, with a word when it is sent."""

    __slots__ = ("_request",)

    def __init__(self, parts: Iterable[bytes], request: Request) -> None:
        super().__init__(parts)
        self._request = request

    def close(self) -> None:
        """Called by the server after the last byte."""
        self._request.sent()


class _Body:
    """A response body, whose `parts` are sent; ends its request when it is exhausted, closed or forgotten."""

    def __init__(self, body: Iterable[bytes], parts: Iterable[bytes], request: Request) -> None:
        self._body = body
        self._parts = parts
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._parts
        except Exception as error:
            self._request.failed(error)
            raise
        finally:
            self._request.end()

    def __del__(self) -> None:
        self._request.end()

    def close(self) -> None:
        """Called by the server after the last byte, or when the client went away."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._request.sent()
