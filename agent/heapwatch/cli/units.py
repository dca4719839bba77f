"""Sizes, times and shares as people read them."""

from __future__ import annotations

import math
import time

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(value: float) -> str:
    """Bytes with three figures: "0 B", "12.3 MiB", "-4.00 KiB"."""
    amount, unit = abs(value), 0
    while amount >= 999.5 and unit < len(_SIZES) - 1:
        amount, unit = amount / 1024, unit + 1
    sign = "-" if value < 0 else ""
    return f"{sign}{amount:.0f} B" if unit == 0 else f"{sign}{_figures(amount)} {_SIZES[unit]}"


def signed_size(value: float) -> str:
    """A change in bytes: "+1.20 MiB", "-3.00 KiB", "0 B"."""
    return f"{'+' if value > 0 else ''}{size(value)}"


def count(value: float) -> str:
    """A number of objects: "41,300"; below ten with one decimal when it isn't whole."""
    if abs(value) < 9.95 and abs(value - round(value)) > 0.05:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """The two largest units: "45 s", "2 min 5 s", "3 h 20 min", "4 d 6 h"."""
    if not math.isfinite(seconds):
        return "never"
    if 0 < seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    total = max(0, round(seconds))
    parts = [(total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "min"), (total % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number or unit == parts[0][1])


def moment(when: float, now: float) -> str:
    """A local time of day, with the date when it isn't on the day of `now` (both Unix seconds)."""
    then = time.localtime(when)
    same_day = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same_day else "%a %d %b %H:%M", then)


def share(fraction: float) -> str:
    """A fraction in whole percent: "83%", "<1%"."""
    if 0 < fraction < 0.005:
        return "<1%"
    return f"{fraction:.0%}"


def _figures(amount: float) -> str:
    return f"{amount:.{2 if amount < 9.995 else 1 if amount < 99.95 else 0}f}"
