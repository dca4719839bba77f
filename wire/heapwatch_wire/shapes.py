"""How shapes of JSON are written down: of what commands print, for helps, documentation and tests.

A shape is JSON itself. A text says what stands in its place: a unit, a meaning, or the choices between "|".
One that ends in "?" is null when unknown; a key that does may be missing. A key in capitals stands for any
number of keys, a list's one element for any number of elements, and {"...": "name"} for a document that is
described elsewhere.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

UNITS = (
    "Sizes are bytes, durations seconds, moments Unix seconds, growth and rates per second, shares 0 to 1."
)


def offer_json(parser: argparse.ArgumentParser, shape: Any) -> None:
    """Add --json, and its shape below the help."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; its shape is below")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = explained(shape)


def print_json(value: Any) -> None:
    """`value` as indented JSON."""
    print(json.dumps(value, indent=2))


def explained(shape: Any) -> str:
    """What a command's help says below about its --json."""
    written = textwrap.fill(
        json.dumps(shape, ensure_ascii=False),
        98,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"--json prints:\n{written}\n  {UNITS}\n"
