"""What runs at this moment, for the sampler to see: a piece of work with a label, in a context variable.

The sampler looks the variable up when it takes a sample. So the label follows what contextvars follow: tasks
over their awaits, calls that a task hands to threads, greenlets; and switching between them costs nothing.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from heapwatch._sampler import Scope as Scope
else:
    try:
        from heapwatch._sampler import Scope
    except ImportError:  # not built, so nothing is sampled either

        class Scope:
            """Stands in for the extension's type, and counts nothing."""

            label = 0

            def open(self, around):
                """Nothing to count."""

            def counts(self):
                """Nothing was counted."""
                return 0.0, 0.0, 0.0, 0.0

            close = counts


CURRENT: ContextVar[Scope | None] = ContextVar("heapwatch_scope", default=None)
"""The innermost piece of work of this context."""

_TRIED = (0, 40)


class Follows(Protocol):
    """The part of the extension that looks context variables up."""

    def follow(self, variable: ContextVar[Scope | None]) -> None: ...
    def current_label(self) -> int: ...


def follow(native: Follows) -> bool:
    """Let samples be labelled by CURRENT; False when this Python keeps its contexts in an unknown way."""
    native.follow(CURRENT)
    return all(Context().run(_seen, native, others) for others in _TRIED)


def _seen(native: Follows, others: int) -> bool:
    """Whether the extension finds CURRENT beside so many other variables."""
    for number in range(others):
        ContextVar[int](f"heapwatch_trial_{number}").set(number)
    without = native.current_label()
    scope = Scope()
    scope.label = without + 1
    CURRENT.set(scope)
    return native.current_label() == without + 1
