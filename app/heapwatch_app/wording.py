"""How pages say times and numbers."""

from __future__ import annotations

from datetime import datetime

from heapwatch_app.database import now

_UNITS = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "min"))


def ago(moment: datetime) -> str:
    """The time since `moment`, short: "5 min", "3 d"."""
    seconds = (now() - moment).total_seconds()
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"


def counted(number: int, one: str, many: str = "") -> str:
    """`number` with its noun: "1 like", "1,204 likes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
