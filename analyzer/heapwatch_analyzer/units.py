"""Sizes, rates and durations as people read them."""

from __future__ import annotations


def mebibytes(size: float) -> str:
    """`size` bytes as KiB, MiB or GiB with three digits: "12.3 MiB"."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(size) >= scale:
            return f"{size / scale:.3g} {unit}" if abs(size) < 1000 * scale else f"{size / scale:.0f} {unit}"
    return f"{size:.0f} B"


def rate(bytes_per_second: float) -> str:
    """A growth per minute: "2.1 MiB/min"."""
    return f"{mebibytes(bytes_per_second * 60)}/min"


def duration(seconds: float) -> str:
    """`seconds` in its two largest units: "2 h 10 min"."""
    left = round(seconds)
    parts: list[str] = []
    for unit, scale in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, scale)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
