"""What requests pass on their way in while the defence is on and something is to be decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from heapwatch.defence.shedding import Shedding
from heapwatch.defence.stopping import Stopping
from heapwatch.instrument.requests import Request


class Gate:
    """The defence's Guard. `stopping` is None where requests have no limits."""

    def __init__(self, shedding: Shedding, stopping: Stopping | None) -> None:
        self._stopping = stopping
        self.refuse = shedding.refuse
        self.refuse_optional = shedding.refuse_optional

    def call(self, request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
        """See Guard."""
        if self._stopping is None:
            return function(*arguments)
        return self._stopping.call(request, function, *arguments)

    def lend(self, request: Request, function: Callable[..., Any]) -> Callable[..., Any]:
        """See Guard."""
        return function if self._stopping is None else self._stopping.lend(request, function)

    async def attend(self, request: Request, served: Awaitable[Any]) -> None:
        """See Guard."""
        await (served if self._stopping is None else self._stopping.attend(request, served))
