"""Texts of alerts: one template, filled embedded or written as Prometheus' own template.

`{service}` stands for a label, `{value}` for the judged value in its unit, `{?service}` for a label
made fit for an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote_plus

_FIELD = re.compile(r"\{(\??)(\w+)\}")

_HUMANIZERS = {
    "1": "{{ $value | humanizePercentage }}",
    "s": "{{ $value | humanizeDuration }}",
    "By": "{{ $value | humanize1024 }}B",
    "By/s": "{{ $value | humanize1024 }}B/s",
}


def prometheus(template: str, unit: str) -> str:
    """`template` for an annotation of a Prometheus rule; `unit` (UCUM) is the value's."""

    def field(query: str, name: str) -> str:
        if name == "value":
            return _HUMANIZERS.get(unit, "{{ $value | humanize }}")
        return f"{{{{ urlquery $labels.{name} }}}}" if query else f"{{{{ $labels.{name} }}}}"

    return _replace(template, field)


def filled(template: str, unit: str, labels: Mapping[str, str], value: float) -> str:
    """`template` with `labels` and `value` in it, worded as Prometheus words it."""

    def field(query: str, name: str) -> str:
        if name == "value":
            return humanized(value, unit)
        text = labels.get(name, "")
        return quote_plus(text) if query else text

    return _replace(template, field)


def _replace(template: str, field: Callable[[str, str], str]) -> str:
    return _FIELD.sub(lambda match: field(match[1], match[2]), template)


def humanized(value: float, unit: str) -> str:
    """`value` for people, as the functions of Prometheus' templates put it."""
    if unit == "1":
        return f"{value * 100:.4g}%"
    if unit == "s":
        return _duration(value)
    if unit in ("By", "By/s"):
        return _scaled(value, 1024.0, ("", "ki", "Mi", "Gi", "Ti")) + ("B/s" if unit == "By/s" else "B")
    return _scaled(value, 1000.0, ("", "k", "M", "G", "T"))


def _scaled(value: float, step: float, prefixes: tuple[str, ...]) -> str:
    index = 0
    while abs(value) >= step and index < len(prefixes) - 1:
        value /= step
        index += 1
    return f"{value:.4g}{prefixes[index]}"


def _duration(seconds: float) -> str:
    if seconds < 0:
        return "-" + _duration(-seconds)
    if 0 < seconds < 1:
        return f"{seconds * 1000:.4g}ms"
    if seconds < 60:
        return f"{seconds:.4g}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h {minutes}m {rest}s"
    return f"{hours}h {minutes}m {rest}s" if hours else f"{minutes}m {rest}s"
