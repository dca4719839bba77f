"""A large heap as services have one: a catalogue of many small dicts, lists and strings, loaded at start."""

from __future__ import annotations

from typing import Any

from heapwatch.process import ProcessReader


def load(size: int) -> list[dict[str, Any]]:
    """A catalogue by which RSS grows `size` bytes."""
    reader = ProcessReader()
    entries: list[dict[str, Any]] = []
    end = reader.resident().rss + size
    while reader.resident().rss < end:
        for number in range(len(entries), len(entries) + 1000):
            entries.append(
                {"id": number, "name": f"entry {number}", "tags": [f"t{number % 97}", f"u{number}"]}
            )
    return entries
