"""A flame graph as one still SVG picture: callers above, width by value."""

from __future__ import annotations

import re
from html import escape

from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import Frame

from heapwatch.cli.render import short_path
from heapwatch.cli.table import cut
from heapwatch.report.kinds import Kind
from heapwatch.report.origin import NAMES, origin
from heapwatch.report.tree import Node, build, rows

WIDTH = 1200
_ROW = 18
_TOP = 54
_LETTER = 6.7
_LEAST = 0.4
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
svg{font:12px ui-sans-serif,system-ui,sans-serif;color-scheme:light dark}
.bg{fill:#fff}text{fill:#16181d;pointer-events:none}.dim{fill:#5b6270}
rect.b{stroke:#fff;stroke-width:.6}.o0{fill:#f5a65b}.o1{fill:#8fc1e3}.o2{fill:#ccd2dc}.o3{fill:#e3e0d5}.r{fill:#e4e7ec}
@media (prefers-color-scheme:dark){
.bg{fill:#14161b}text{fill:#eceff4}.dim{fill:#a3abb9}rect.b{stroke:#14161b}
.o0{fill:#9c5a1c}.o1{fill:#2d5f84}.o2{fill:#464d5a}.o3{fill:#56523f}.r{fill:#333842}}
"""


def svg(profile: Profile, kind: Kind, title: str) -> str:
    """`profile` drawn by `kind`; a bar's tooltip has its place and value. Bars under 0.4 px are left out."""
    root = build(((s.stack, (s.values[kind.index],)) for s in profile.samples), 1)
    bars, depth = _bars(root, kind)
    height = _TOP + (depth + 1) * _ROW + 8
    heading = f"{title}: {kind.name} {kind.text(root.values[0])}"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{_text(heading)}">',
            f"<style>{_STYLE}</style>",
            '<rect class="bg" width="100%" height="100%"/>',
            f'<text x="8" y="22" font-size="15" font-weight="600">{_text(cut(heading, 120))}</text>',
            *_legend(),
            *bars,
            "</svg>\n",
        )
    )


def _legend() -> list[str]:
    parts = []
    for number, name in enumerate(NAMES):
        x = 8 + number * 160
        parts.append(f'<rect class="b o{number}" x="{x}" y="32" width="12" height="12"/>')
        parts.append(f'<text class="dim" x="{x + 18}" y="42">{name}</text>')
    return parts


def _bars(root: Node, kind: Kind) -> tuple[list[str], int]:
    """The bars, and the depth of the deepest."""
    total = root.values[0]
    drawn: list[str] = []
    deepest = 0
    lefts: list[float] = []
    for number, row in enumerate(rows(root)):
        width = WIDTH * row.node.values[0] / total if total else 0.0
        left = lefts[row.parent] if number else 0.0
        lefts.append(left)
        if number:
            lefts[row.parent] += width
        if width >= _LEAST:
            deepest = max(deepest, row.depth)
            drawn.append(_bar(row.node, kind, total, left, _TOP + row.depth * _ROW, width))
    return drawn, deepest


def _bar(node: Node, kind: Kind, total: int, left: float, top: int, width: float) -> str:
    value = node.values[0]
    name = f"o{origin(node.frame)}" if node.frame.line or node.frame.file else "r"
    shape = f'<rect class="b {name}" x="{left:.2f}" y="{top}" width="{width:.2f}" height="{_ROW - 1}" rx="2">'
    tip = f"<title>{_text(_place(node.frame))}\n{kind.text(value)}, {value / total:.1%}</title></rect>"
    letters = int((width - 6) / _LETTER)
    if letters < 3:
        return shape + tip
    label = _text(cut(node.frame.function, letters))
    return f'{shape}{tip}<text x="{left + 4:.2f}" y="{top + 13}">{label}</text>'


def _place(frame: Frame) -> str:
    return f"{frame.function} ({short_path(frame.file)}:{frame.line})" if frame.file else frame.function


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))
