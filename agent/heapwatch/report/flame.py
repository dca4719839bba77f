"""A flame graph as one HTML file that needs nothing else: no server, no request, no library.

What comes from a profile is data in the page, never markup: it stands in a JSON block without "<", and the
script writes it as text. The page's own policy lets nothing run but the one script whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from heapwatch_wire.pprof import Profile
from heapwatch_wire.sites import Frame

from heapwatch.cli.render import short_path
from heapwatch.report.kinds import Kind, kinds
from heapwatch.report.origin import NAMES, origin
from heapwatch.report.tree import Node, build, prune, rows


def flame(profile: Profile, kind: Kind, title: str) -> str:
    """The page of one profile; all its sample types can be switched to, `kind` is shown first."""
    root = build(((sample.stack, sample.values) for sample in profile.samples), len(profile.sample_types))
    shown = kinds(profile)
    return page(title, shown, kind, root, _note(profile), compared=False)


def differential(before: Profile, after: Profile, shown: Sequence[tuple[Kind, Kind]], title: str) -> str:
    """The page of what grew and shrank; `shown` are the types that both have, as in each of them."""
    width = len(shown)
    old, new = ([pair[i].index for pair in shown] for i in (0, 1))
    pairs = [(s.stack, [*(s.values[i] for i in old), *([0] * width)]) for s in before.samples]
    pairs += [(s.stack, [*([0] * width), *(s.values[i] for i in new)]) for s in after.samples]
    own = [Kind(i, kind.name, kind.unit) for i, (kind, _) in enumerate(shown)]
    return page(title, own, own[0], build(pairs, 2 * width), "", compared=True)


def page(title: str, shown: Sequence[Kind], first: Kind, root: Node, note: str, compared: bool) -> str:
    """The page of a tree. With `compared` each node has the values before, then those after."""
    share = prune(root)
    if share:
        note += f" Calls below {share * 100:.2g}% of the whole are part of their callers."
    data = {
        "title": title,
        "note": note.strip(),
        "compared": compared,
        "first": first.index,
        "types": [{"name": kind.name, "unit": kind.unit} for kind in shown],
        "origins": NAMES,
        **_nodes(root, first.index + (len(shown) if compared else 0)),
    }
    block = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    style, script = _part("flame.css"), _part("flame.js")
    values = {
        "TITLE": escape(title),
        "STYLE": style,
        "SCRIPT": script,
        "STYLE_DIGEST": _digest(style),
        "SCRIPT_DIGEST": _digest(script),
        "DATA": block,
    }
    pieces = _part("flame.html").split("%%")
    return "".join(values[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _nodes(root: Node, order: int) -> dict[str, Any]:
    numbers: dict[Frame, int] = {}
    ordered = rows(root, order)
    places = [numbers.setdefault(row.node.frame, len(numbers)) for row in ordered]
    return {
        "frames": [[f.function, short_path(f.file), f.line, origin(f)] for f in numbers],
        "frame": places,
        "depth": [row.depth for row in ordered],
        "values": [[row.node.values[i] for row in ordered] for i in range(len(root.values))],
    }


def _note(profile: Profile) -> str:
    if profile.time_nanos <= 0:
        return ""
    return time.strftime("Taken %Y-%m-%d %H:%M:%S.", time.localtime(profile.time_nanos / 1e9))


@cache
def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
