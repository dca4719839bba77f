"""One request and one reply per connection, each a line of JSON of bounded size.

Request: {"method": name, "params": {...}}. Reply: {"result": ...} or {"error": text, "mend": text}.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _socket import socket

MAX_REQUEST = 64 << 10
MAX_REPLY = 64 << 20


class ProtocolError(ValueError):
    """What came isn't a message; the text says why."""


class RequestError(Exception):
    """A request that can't be served: what is wrong, and what mends it."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


def encode(message: dict[str, Any]) -> bytes:
    """`message` as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def receive(connection: socket, limit: int) -> dict[str, Any]:
    """The next line of `connection` as a message. ProtocolError when it isn't one or is over `limit` bytes;
    OSError (TimeoutError among them) when the peer goes silent."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(min(65536, limit + 1))
        if not part:
            raise ProtocolError("the connection ended within a message")
        data += part
        if len(data) > limit:
            raise ProtocolError(f"a message is limited to {limit} bytes")
    return decode(bytes(data))


def decode(line: bytes) -> dict[str, Any]:
    """A line as a message; ProtocolError when it isn't one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a message must be one line of JSON") from None
    if not isinstance(message, dict):
        raise ProtocolError("a message must be a JSON object")
    return message
