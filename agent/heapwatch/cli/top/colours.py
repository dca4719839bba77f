"""The tables on a terminal, by rich: in colour, on a screen of their own."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from heapwatch.cli.top.screen import URGENT, Table


class RichScreen:
    """The terminal's other screen; what was there before comes back at the end."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> RichScreen:
        self._live.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self._live.__exit__(None, None, None)

    def draw(self, title: str, tables: Sequence[Table], foot: str, width: int) -> None:
        """Replace what is shown."""
        parts: list[RenderableType] = [_line(title, "bold")]
        for each in tables:
            parts += [Text(), *([_line(each.title, "bold")] if each.title else []), _grid(each)]
            if each.hidden:
                parts.append(_line(f"... and {each.hidden} more", "dim"))
        self._live.update(Group(*parts, Text(), _line(foot, "dim")), refresh=True)


def _grid(shown: Table) -> Grid | Text:
    if not shown.rows:
        return _line("nothing yet", "dim")
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(shown.header):
        header, last = name.removeprefix(">"), number == len(shown.header) - 1
        grid.add_column(
            Text(header),
            justify="right" if name.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            # What is left of the width is the last column's alone.
            min_width=None if last else max(len(header), *(len(row[number]) for row in shown.rows)),
        )
    for row in shown.rows:
        grid.add_row(*(Text(cell, "bold red" if cell.endswith(URGENT) else "") for cell in row))
    return grid


def _line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
