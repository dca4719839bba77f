"""Requests that are answered before the application does, or in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from heapwatch.instrument.requests import Request


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
        """The response, also after the application began one of which nothing is sent."""
        error: tuple[type[BaseException], BaseException, TracebackType | None] = (type(self), self, None)
        start_response(self._line, self.headers(), error)  # type: ignore[arg-type]  # no traceback is needed
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


class Guard(Protocol):
    """Who decides it. Called for each request."""

    def refuse(self, path: str) -> Refusal | None:
        """Why a request that begins is not let in; None: it is."""

    def refuse_optional(self) -> Refusal | None:
        """Why work that the service calls optional is not done; None: it is."""

    def call(self, request: Request, application: Callable[..., Any], *arguments: Any) -> Any:
        """What `application(*arguments)` returns, unless `request` is stopped: then Refusal is raised."""

    async def attend(self, request: Request, served: Awaitable[Any]) -> None:
        """Await `served`, unless `request` is stopped before it answers: then Refusal is raised."""
