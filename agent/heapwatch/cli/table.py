"""Plain text tables."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """Columns under `header`; those whose header begins with ">" are right-aligned. The last one is cut
    where the line would be wider than `width`."""
    right = [name.startswith(">") for name in header]
    names = [name.removeprefix(">") for name in header]
    widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
    lines = []
    for row in [names, *rows]:
        cells = [
            cell.rjust(w) if to_right else cell.ljust(w)
            for cell, w, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append(cut("  ".join(cells).rstrip(), width))
    return "\n".join(lines)


def cut(text: str, width: int) -> str:
    """`text`, or as much of its beginning as fits in `width` with an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def cut_left(text: str, width: int) -> str:
    """`text`, or as much of its end as fits in `width` with an ellipsis; for paths."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
