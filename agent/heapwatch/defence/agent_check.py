"""HAProxy's agent-check: who connects is told whether to send requests here, and how many.

HAProxy's configuration manual, section 5.2 (agent-check), says what an answer may be.
"""

from __future__ import annotations

import contextlib
import errno
import time

# Not `socket`, which gevent replaces: we wait in a thread of our own.
from _socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from collections.abc import Callable, Sequence

from heapwatch_wire.config import ConfigError

from heapwatch.defence.family import Member

RETRY = 1.0
SLOWEST = 0.2


def weight(used: float, soft: float, drain: float) -> int:
    """Percent of the usual requests that a process gets: all below `soft`, a tenth at `drain`."""
    left = (drain - used) / (drain - soft)
    return round(10 + 90 * min(1.0, max(0.0, left)))


def answer(members: Sequence[Member], bereft: bool = False) -> bytes:
    """What the balancer is told of a server that consists of `members`.

    "drain" when all of them take leave, or, `bereft`, the last one has gone and none has come; "ready" and
    "up" end what an earlier answer began.
    """
    if all(member.draining for member in members) if members else bereft:
        return b"drain\n"
    weights = [0 if member.draining else member.weight for member in members] or [100]
    return b"up ready %d%%\n" % max(1, sum(weights) // len(weights))


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT as a host and a port; ConfigError for anything else."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"agent_check={text!r}: expected HOST:PORT, such as 127.0.0.1:9999")
    return host.strip("[]"), int(port)


class AgentCheck:
    """Answers at `address`. Of several processes with one address, one answers, then another."""

    def __init__(self, address: str, reply: Callable[[], bytes]) -> None:
        self._address = parse_address(address)
        self._reply = reply
        self._listener: socket | None = None
        self._next_try = 0.0

    def serve(self, seconds: float) -> None:
        """Answer for so long at most. OSError when the address can't be listened on."""
        end = time.monotonic() + seconds
        while self._listen() and (left := end - time.monotonic()) > 0:
            self._answer_one(left)

    def close(self) -> None:
        """Listen no more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def listens(self) -> bool:
        """Whether this process is the one that answers."""
        return self._listener is not None

    def _listen(self) -> bool:
        if self._listener is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RETRY
            self._listener = _listener(*self._address)
        return self._listener is not None

    def _answer_one(self, seconds: float) -> None:
        assert self._listener is not None
        self._listener.settimeout(seconds)
        try:
            # What socket.socket.accept() calls, and typeshed doesn't know.
            accepted = self._listener._accept()[0]  # type: ignore[attr-defined]
        except TimeoutError:
            return
        except OSError:
            self.close()  # and try again later, not at once
            raise
        with contextlib.closing(socket(fileno=accepted)) as connection, contextlib.suppress(OSError):
            connection.settimeout(SLOWEST)
            connection.sendall(self._reply())


def _listener(host: str, port: int) -> socket | None:
    """None when another process listens there."""
    made = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
    try:
        made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(16)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return made
