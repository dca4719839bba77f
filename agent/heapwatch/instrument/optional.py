"""Views that are refused first."""

from __future__ import annotations

import functools
import inspect
from typing import Any, cast

from heapwatch.decorating import Function
from heapwatch.instrument.requests import Request, Requests
from heapwatch.instrument.work import current


def refuse_when_short(function: Function, requests: Requests) -> Function:
    """`function`, but Refusal is raised in its place when the guard of `requests` says so."""

    def look() -> None:
        guard = requests.guard
        # Only who measures the request turns a refusal into an answer.
        if guard is not None and isinstance(current(), Request) and (refusal := guard.refuse_optional()):
            raise refusal

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine_unless_short(*args: Any, **kwargs: Any) -> Any:
            look()
            return await function(*args, **kwargs)

        return cast(Function, coroutine_unless_short)

    @functools.wraps(function)
    def call_unless_short(*args: Any, **kwargs: Any) -> Any:
        look()
        return function(*args, **kwargs)

    return cast(Function, call_unless_short)
