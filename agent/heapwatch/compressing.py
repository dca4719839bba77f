"""Gzip for what is pushed, with little memory."""

from __future__ import annotations

import zlib

_LEVEL = 6
_WINDOW = 16 + 13
"""A gzip header, and 8 KiB to look back on."""
_MEMORY = 6
"""Of 9. With the window above a compressor takes 70 KB instead of 268, and a profile gets 3% longer."""
_CHUNK = 64 << 10


def gzip(*parts: bytes | memoryview) -> bytes:
    """The parts one after the other, compressed."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    # In pieces, whose compressed forms are small: large blocks would leave holes in the host's heap.
    pieces = (part[i : i + _CHUNK] for part in parts for i in range(0, len(part), _CHUNK))
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])
