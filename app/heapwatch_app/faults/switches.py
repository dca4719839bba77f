"""Which faults are on: a small file that every worker looks at, at most once a second.

Switching needs no restart and reaches all processes that share the file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from flask import current_app

NAMES = ("listeners", "cache", "threadlocal")
POLL = 1.0
"""Seconds between two looks at the file."""


class Switches:
    """The switches in the file `path`; a missing or unreadable file means that all are off."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._on: frozenset[str] = frozenset()
        self._next_look = 0.0

    def on(self, name: str) -> bool:
        """Whether the fault `name` is on, as of at most POLL seconds ago."""
        present = self._clock()
        if present >= self._next_look:
            self._next_look = present + POLL
            self._on = self.read()
        return name in self._on

    def read(self) -> frozenset[str]:
        """The faults that are on, according to the file."""
        try:
            document = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return frozenset()
        return frozenset(document) & frozenset(NAMES) if isinstance(document, list) else frozenset()

    def set(self, name: str, on: bool) -> None:
        """Switch a fault; KeyError if there is none of that name."""
        if name not in NAMES:
            raise KeyError(name)
        names = self.read() | {name} if on else self.read() - {name}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        draft.write_text(json.dumps(sorted(names)))
        draft.replace(self.path)
        self._next_look = 0.0


def on(name: str) -> bool:
    """Whether the fault `name` is on in the present application."""
    found: Switches = current_app.extensions["faults"]
    return found.on(name)
