"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

TAB, ESCAPE = "\t", "\x1b"


class Keys:
    """The keys of the terminal on standard input; none when that is something else."""

    def __init__(self, terminal: int | None) -> None:
        self._terminal = terminal

    def wait(self, seconds: float) -> str:
        """The next key, "" when none is pressed in this time. Arrows and their like are one key."""
        ready = select.select([] if self._terminal is None else [self._terminal], [], [], seconds)[0]
        if not ready or self._terminal is None:
            return ""
        pressed = os.read(self._terminal, 16)
        if not pressed:  # the terminal has gone
            return "q"
        text = pressed.decode(errors="replace")
        return text if text.startswith(ESCAPE) else text[:1]


@contextlib.contextmanager
def keys() -> Iterator[Keys]:
    """Keys as they are pressed; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield Keys(None)
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield Keys(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
