"""HTTP POST with the little of HTTP/1.1 (RFC 9112) that deliveries need.

The standard library's client brings the packages email and ssl along, some 2.5 MB in each process that
doesn't use them anyway; so it is imported for an https address only. Sockets come from below the module
`socket`, which gevent replaces.
"""

from __future__ import annotations

import time
from _socket import SOCK_STREAM, getaddrinfo
from _socket import socket as Socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from http.client import HTTPSConnection

ANSWER_LIMIT = 64 << 10
_CHUNK = 4096


class NoAnswer(Exception):
    """What came back, if anything, is not an HTTP answer."""


class Answer(NamedTuple):
    """An answer whose body was read or given up; `headers` by lower-case name."""

    status: int
    reason: str
    headers: Mapping[str, str]


class Connection(Protocol):
    """To one server; opened when it is needed, and again after `close`."""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises OSError (TimeoutError among them) or NoAnswer, and is closed then."""
        ...

    def close(self) -> None: ...


class PlainConnection:
    """Without encryption. `timeout` seconds are for connecting, and for each request with its answer."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host, self._port, self._timeout = host, port, timeout
        self._socket: Socket | None = None
        self._received = b""

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises OSError (TimeoutError among them) or NoAnswer, and is closed then."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        fields = {"Host": f"{host}:{self._port}", **headers, "Content-Length": str(len(body))}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        complete = False
        try:
            opened = self._socket = self._socket or self._open()
            opened.settimeout(self._timeout)
            opened.sendall("\r\n".join(lines).encode("latin-1") + body)
            end = time.monotonic() + self._timeout
            answer = self._head(opened, end)
            complete = self._skip_body(opened, answer, end)
        finally:
            if not complete:
                self.close()
        return answer

    def close(self) -> None:
        """Close it, if it is open."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._received = None, b""

    def _open(self) -> Socket:
        failure: OSError | None = None
        # As bytes, for which no codec of international names is loaded.
        host = self._host.encode() if self._host.isascii() else self._host
        for family, kind, protocol, _, address in getaddrinfo(host, self._port, 0, SOCK_STREAM):
            opened = Socket(family, kind, protocol)
            try:
                opened.settimeout(self._timeout)
                opened.connect(address)
            except OSError as error:
                opened.close()
                failure = error
            else:
                return opened
        raise failure or OSError(f"{self._host} has no address")

    def _head(self, opened: Socket, end: float) -> Answer:
        """The answer without its body; interim answers (1xx) are passed over."""
        while True:
            while b"\r\n\r\n" not in self._received:
                self._receive(opened, end)
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            answer = _parse(head)
            if answer.status >= 200:
                return answer

    def _skip_body(self, opened: Socket, answer: Answer, end: float) -> bool:
        """Whether all of the body was read, so that another answer may follow on this connection."""
        size = "0" if answer.status in (204, 304) else answer.headers.get("content-length", "")
        if not size.isdecimal() or int(size) > ANSWER_LIMIT or answer.headers.get("connection") == "close":
            return False
        while len(self._received) < int(size):
            self._receive(opened, end)
        self._received = self._received[int(size) :]
        return True

    def _receive(self, opened: Socket, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        opened.settimeout(left)
        received = opened.recv(_CHUNK)
        if not received:
            raise NoAnswer("the connection was closed before the answer was complete")
        self._received += received
        if len(self._received) > ANSWER_LIMIT + _CHUNK:
            raise NoAnswer("an answer without end")


def _parse(head: bytes) -> Answer:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(status) != 3 or not status.isdecimal():
        raise NoAnswer(f"not an HTTP answer: {first:.40}")
    headers = {"connection": "close"} if version == "HTTP/1.0" else {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(int(status), reason, headers)


class SecureConnection:
    """With TLS, by the standard library's client. `timeout` seconds are for each operation of its socket."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._arguments = host, port, timeout
        self._connection: HTTPSConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises OSError (TimeoutError among them) or NoAnswer, and is closed then."""
        # Here and not above: whoever doesn't use it needn't have it in memory.
        from http.client import HTTPException, HTTPSConnection
        from ssl import SSLCertVerificationError

        host, port, timeout = self._arguments
        connection = self._connection = self._connection or HTTPSConnection(host, port, timeout=timeout)
        complete = False
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read(ANSWER_LIMIT)
            complete = answer.isclosed()
        except SSLCertVerificationError as error:
            mend = "name a file with the certificate of its authority in SSL_CERT_FILE"
            raise OSError(f"its certificate is refused, {error.verify_message}: {mend}") from None
        except HTTPException as error:
            raise NoAnswer(str(error) or type(error).__name__) from None
        finally:
            if not complete:
                self.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.reason, found)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
