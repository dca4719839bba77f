"""Label selectors as Prometheus and Pyroscope write them: `{service_name="shop", instance=~"web-.*"}`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from heapwatch_collector.errors import Malformed

Operator = Literal["=", "!=", "=~", "!~"]

_MATCHER = re.compile(
    r"""\s*(?P<name>[A-Za-z_][\w.]*)\s*(?P<op>=~|!~|!=|=)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|`(?P<raw>[^`]*)`)\s*""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)


@dataclass(frozen=True)
class Matcher:
    """`name` `op` `value`; a label that isn't there has the empty value."""

    name: str
    op: Operator
    value: str

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.op}"{escaped}"'


def parse(text: str) -> tuple[Matcher, ...]:
    """The matchers of a selector, with or without its braces; "" and "{}" match everything.

    Raises Malformed that names the place.
    """
    inner = text.strip()
    if inner.startswith("{") != inner.endswith("}"):
        raise Malformed(f"label selector {text[:200]!r}: braces don't match", 'write {name="value", ...}')
    start = 1 if inner.startswith("{") else 0
    end = len(inner) - start
    matchers: list[Matcher] = []
    position = start
    while inner[position:end].strip():
        match = _MATCHER.match(inner, position, end)
        if match is None:
            raise Malformed(
                f"label selector: no matcher at {inner[position:end][:80]!r}", 'write {name="value", ...}'
            )
        matchers.append(_matcher(match))
        position = match.end()
        if position < end:
            if inner[position] != ",":
                raise Malformed(f"label selector: expected a comma at {inner[position:end][:80]!r}")
            position += 1
    return tuple(matchers)


def _matcher(match: re.Match[str]) -> Matcher:
    op: Operator = match["op"]  # type: ignore[assignment]
    if match["raw"] is not None:
        return Matcher(match["name"], op, match["raw"])
    quoted = match["double"] if match["double"] is not None else match["single"]
    return Matcher(match["name"], op, _ESCAPE.sub(_unescape, quoted))


def _unescape(match: re.Match[str]) -> str:
    if code := match[1] or match[2]:
        return chr(int(code, 16))
    return _ESCAPES.get(match[3], match[3])
