"""The tables as plain text: for pipes, and for terminals where rich isn't installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from heapwatch.cli.table import cut, table
from heapwatch.cli.top.screen import Table

_CLEAR = "\x1b[H\x1b[J"


def text(title: str, tables: Sequence[Table], width: int) -> str:
    """All of it in lines of at most `width`."""
    return "\n\n".join([cut(title, width), *(_block(each, width) for each in tables)])


class PlainScreen:
    """A terminal that is cleared and written anew."""

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(self, *ended: object) -> None:
        return None

    def draw(self, title: str, tables: Sequence[Table], foot: str, width: int) -> None:
        """Replace what is shown."""
        sys.stdout.write(f"{_CLEAR}{text(title, tables, width)}\n{cut(foot, width)}")
        sys.stdout.flush()


def _block(shown: Table, width: int) -> str:
    lines = [shown.title] if shown.title else []
    lines.append(table(shown.header, shown.rows, width) if shown.rows else "nothing yet")
    if shown.hidden:
        lines.append(f"... and {shown.hidden} more")
    return "\n".join(lines)
