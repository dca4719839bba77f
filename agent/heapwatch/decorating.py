"""Context managers as decorators, for coroutine functions too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def run_within(function: Function, name: str, scope: Callable[[], AbstractContextManager[Any]]) -> Function:
    """`function` with each call, or each await of a coroutine function, inside a new `scope()`.

    TypeError for a generator function: `name`, that of the decorator, is said with the mend.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator, which runs whenever its reader likes: "
            f"put `with heapwatch.{name}(...)` around what reads it"
        )
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine_within(*args: Any, **kwargs: Any) -> Any:
            with scope():
                return await function(*args, **kwargs)

        return cast(Function, coroutine_within)

    @functools.wraps(function)
    def call_within(*args: Any, **kwargs: Any) -> Any:
        with scope():
            return function(*args, **kwargs)

    return cast(Function, call_within)
