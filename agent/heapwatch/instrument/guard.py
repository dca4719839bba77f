"""Requests that are answered before the application does, or in its place."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from heapwatch.instrument.requests import Request


class BrokenOff(Exception):
    """Raised to the server: a response that has begun ends here, and its connection with it."""

    def __init__(self) -> None:
        super().__init__("heapwatch stopped this request: it held more memory than its limit")


class Refusal(BaseException):
    """A request ends here, with `status`. Not an Exception, so that no handler of all errors keeps it."""

    def __init__(self, status: int, retry_after: int = 0) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after

    @property
    def body(self) -> bytes:
        """What the client reads."""
        return f"{self._line}: this server is short of memory.\n".encode()

    def headers(self) -> list[tuple[str, str]]:
        """Of the response."""
        retry = [("Retry-After", str(self.retry_after))] if self.retry_after else []
        return [("Content-Type", "text/plain"), ("Content-Length", str(len(self.body))), *retry]

    def answer_wsgi(self, start_response: StartResponse) -> list[bytes]:
        """The response, also after the application began one of which nothing is sent; else BrokenOff."""
        try:
            raise BrokenOff
        except BrokenOff:
            # Raised again by a server that has sent a part; by some as what is being handled.
            start_response(self._line, self.headers(), sys.exc_info())
        return [self.body]

    async def answer_asgi(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """The response, where none has begun."""
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    @property
    def _line(self) -> str:
        # Here and not above: a process that refuses nothing needn't have it in memory.
        from http import HTTPStatus

        return f"{self.status} {HTTPStatus(self.status).phrase}"


def refusal_in(error: BaseException) -> Refusal | None:
    """The refusal that `error` is, or that a group of tasks passes on beside what came of it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := refusal_in(each))), None)
    return error if isinstance(error, Refusal) else None


class Guard(Protocol):
    """Who decides it. Called for each request."""

    def refuse(self, path: str) -> Refusal | None:
        """Why a request that begins is not let in; None: it is."""

    def refuse_optional(self) -> Refusal | None:
        """Why work that the service calls optional is not done; None: it is."""

    def call(self, request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function(*arguments)` returns, unless `request` is stopped: then Refusal is raised."""

    def lend(self, request: Request, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, for another thread while who attends to `request` waits: see `call`."""
        ...

    async def attend(self, request: Request, served: Awaitable[Any]) -> None:
        """Await `served`, unless `request` is stopped before it is delivered: then Refusal is raised."""
