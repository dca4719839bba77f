"""WHERE clauses whose values are always bound parameters, never text in the statement."""

from __future__ import annotations

from typing import Any, Protocol


class LabelMatcher(Protocol):
    """A condition on a label: `op` is one of =, !=, =~ and !~."""

    @property
    def name(self) -> str: ...

    @property
    def op(self) -> str: ...

    @property
    def value(self) -> str: ...


# Sorting keys hold hours and weeks as short unsigned numbers: a bound that wraps around prunes everything.
EARLIEST = 1_000_000_000_000
LATEST = 4_102_444_800_000


class Conditions:
    """Conditions joined by AND, and the parameters that they use."""

    def __init__(self, parameters: dict[str, Any] | None = None) -> None:
        self.parameters: dict[str, Any] = {} if parameters is None else parameters
        self._parts: list[str] = []

    def beside(self) -> Conditions:
        """Empty conditions for another part of the same statement: they share the parameters."""
        return Conditions(self.parameters)

    def bind(self, value: Any, kind: str = "String") -> str:
        """The placeholder that stands for `value`."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def add(self, text: str) -> None:
        """Add a condition; values in it are placeholders made by `bind`."""
        self._parts.append(text)

    def equals(self, column: str, value: str) -> None:
        self.add(f"{column} = {self.bind(value)}")

    def during(self, start: int, end: int, column: str = "ts") -> None:
        """`column` lies in [start, end], Unix milliseconds."""
        for op, time in ((">=", max(EARLIEST, start)), ("<=", min(end, LATEST))):
            self.add(f"{column} {op} fromUnixTimestamp64Milli({self.bind(time, 'Int64')}, 'UTC')")

    def matches(self, column: str, matcher: LabelMatcher) -> None:
        """`column` fits `matcher`; regular expressions are RE2's and must match the whole value."""
        if matcher.op in ("=", "!="):
            self.add(f"{column} {matcher.op} {self.bind(matcher.value)}")
        else:
            found = f"match({column}, {self.bind(f'^(?s:{matcher.value})$')})"
            self.add(found if matcher.op == "=~" else f"NOT {found}")

    @property
    def where(self) -> str:
        """ "WHERE ..." or nothing."""
        return "WHERE " + " AND ".join(self._parts) if self._parts else ""

    @property
    def text(self) -> str:
        """The conditions without WHERE; "1" when there are none."""
        return " AND ".join(self._parts) or "1"
