"""Statements that a piece of work sends to databases, and which of them it repeats: the N+1 pattern."""

from __future__ import annotations

import re
import sys

REPEATED = 5
"""Executions of one statement in one piece of work from which on it counts as repeated."""
MAX_SHAPES = 100
MAX_TEXT = 500
_MAX_KNOWN = 1000

_LITERALS = re.compile(r"'(?:[^']|'')*'|(?<![\w.$:])\d+(?:\.\d+)?\b")
_LISTS = re.compile(r"\(\s*(\?|%s|:\w+|\$\d+|%\(\w+\)s)(?:\s*,\s*(?:\?|%s|:\w+|\$\d+|%\(\w+\)s))+\s*\)", re.I)
_BELOW = (
    "sqlalchemy",
    "django",
    "flask_sqlalchemy",
    "heapwatch",
    "psycopg",
    "sqlite3",
    "contextlib",
    "functools",
)

_known: dict[str, str] = {}


class Statements:
    """`count` and `seconds` of all, and `repeats`: how often each repeated one ran, and from which line."""

    __slots__ = ("_counts", "_lines", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self._counts: dict[str, int] = {}
        self._lines: dict[str, str] = {}

    def add(self, statement: str, seconds: float) -> None:
        """A statement was executed by this thread."""
        self.count += 1
        self.seconds += seconds
        shape = shape_of(statement)
        counts = self._counts
        if shape in counts:
            counts[shape] += 1
            if counts[shape] == REPEATED:
                self._lines[shape] = application_line()
        elif len(counts) < MAX_SHAPES:
            counts[shape] = 1

    def merge(self, other: Statements) -> None:
        """Add what `other` has counted."""
        self.count += other.count
        self.seconds += other.seconds
        self._lines.update(other._lines)
        for shape, count in other._counts.items():
            if shape in self._counts or len(self._counts) < MAX_SHAPES:
                self._counts[shape] = self._counts.get(shape, 0) + count

    @property
    def repeats(self) -> dict[str, tuple[int, str]]:
        """(executions, line of the application) of each statement that was repeated."""
        return {
            shape: (count, self._lines.get(shape, ""))
            for shape, count in self._counts.items()
            if count >= REPEATED
        }


def shape_of(statement: str) -> str:
    """The statement with its literals as ?, so that those that differ in values alone are the same."""
    shape = _known.get(statement)
    if shape is None:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        text = _LISTS.sub(r"(\1, ...)", _LITERALS.sub("?", statement[: 4 * MAX_TEXT]))
        shape = _known[statement] = " ".join(text.split())[:MAX_TEXT]
    return shape


def application_line() -> str:
    """ "function (file:line)" of the innermost frame that belongs to no database library."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = frame.f_globals.get("__name__", "")
        if not isinstance(module, str) or module.partition(".")[0] not in _BELOW:
            break
        frame = frame.f_back
    code = frame.f_code
    return f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
