"""Work that the service names itself: jobs, parts of requests, anything that no adapter knows."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from heapwatch.instrument.requests import Requests
from heapwatch.instrument.work import Work

Function = TypeVar("Function", bound=Callable[..., Any])


class Tag:
    """A name for work to come: `with` it once, or decorate any number of functions, coroutines too."""

    def __init__(self, requests: Requests, name: str) -> None:
        self._requests = requests
        self._name = name
        self._work: Work | None = None

    def __enter__(self) -> None:
        self._work = self._requests.begin_job(self._name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._work is not None:
            if kind is not None:
                self._work.outcome = "failure"
            self._work.end()

    def __call__(self, function: Function) -> Function:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator, which runs whenever its reader likes: "
                "put `with heapwatch.tag(...)` around what reads it"
            )
        requests, name = self._requests, self._name
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def tagged_coroutine(*args: Any, **kwargs: Any) -> Any:
                with Tag(requests, name):
                    return await function(*args, **kwargs)

            return cast(Function, tagged_coroutine)

        @functools.wraps(function)
        def tagged(*args: Any, **kwargs: Any) -> Any:
            with Tag(requests, name):
                return function(*args, **kwargs)

        return cast(Function, tagged)
