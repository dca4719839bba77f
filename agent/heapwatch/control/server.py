"""The agent's side of the control socket: one thread, one request at a time."""

from __future__ import annotations

import contextlib
import os
import struct

# Not `socket`, which gevent replaces: we wait in a thread of our own.
from _socket import AF_UNIX, SHUT_RDWR, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heapwatch.control.paths import make_folder, runtime_folder, socket_path
from heapwatch.control.protocol import (
    MAX_REPLY,
    MAX_REQUEST,
    ProtocolError,
    RequestError,
    encode,
    receive,
)
from heapwatch.sampler import OWN_WORK
from heapwatch.threads import BackgroundThread, Signal

if TYPE_CHECKING:
    from heapwatch.agent import Agent
    from heapwatch.control.handlers import Handler

REQUEST_TIMEOUT = 2.0
REPLY_TIMEOUT = 10.0


class ControlServer:
    """Serves `handlers` for `agent`, by default all; a forked child needs a new one, or another `start`.

    A peer must be the same user or root. A slow peer loses its connection, a failing handler answers with
    an error, and neither is felt outside this thread.
    """

    def __init__(self, agent: Agent, handlers: Mapping[str, Handler] | None = None) -> None:
        self._agent = agent
        self._handlers = handlers
        self._listener: socket | None = None
        self._path: Path | None = None
        self._owner = 0

    @property
    def path(self) -> Path | None:
        """The socket, once started."""
        return self._path

    def start(self) -> None:
        """Listen and return. OSError when the socket can't be made."""
        self._forget()
        folder = runtime_folder(self._agent.settings.runtime_dir)
        make_folder(folder)
        path = socket_path(folder, os.getpid())
        path.unlink(missing_ok=True)  # Left by a dead process that had our pid.
        listener = socket(AF_UNIX, SOCK_STREAM)
        listener.settimeout(None)  # The service may have set a default.
        try:
            _bind(listener, path)
            listener.listen(8)
        except OSError:
            listener.close()
            raise
        self._listener, self._path, self._owner = listener, path, os.getpid()
        BackgroundThread(lambda halt: self._serve(halt, listener))

    def stop(self) -> None:
        """Stop listening and take the socket away; safe to call twice, and in a forked child."""
        path, mine = self._path, self._owner == os.getpid()
        if mine and self._listener is not None:
            # Wakes accept(); in a forked child it would wake the parent's.
            with contextlib.suppress(OSError):
                self._listener.shutdown(SHUT_RDWR)
        self._forget()
        if mine and path is not None:
            path.unlink(missing_ok=True)

    def _forget(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = self._path = None

    def _serve(self, halt: Signal, listener: socket) -> None:
        self._agent.sampler.set_label(self._agent.sampler.labels.intern(OWN_WORK))
        while True:
            try:
                # What socket.socket.accept() calls, and typeshed doesn't know.
                connection = socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]
            except OSError:
                return
            with contextlib.closing(connection), self._agent.failures.guard("control"):
                self._answer(connection)

    def _answer(self, connection: socket) -> None:
        try:
            connection.settimeout(REQUEST_TIMEOUT)
            if _peer(connection) not in (0, os.getuid()):
                return
            reply = self._reply(lambda: receive(connection, MAX_REQUEST))
            connection.settimeout(REPLY_TIMEOUT)
            connection.sendall(reply)
        except OSError:
            return  # The peer went away or was too slow; it knows.

    def _reply(self, request: Callable[[], dict[str, Any]]) -> bytes:
        try:
            message = request()
            handlers = self._known()
            handler = handlers.get(str(message.get("method")))
            if handler is None:
                raise RequestError(
                    f"unknown method {message.get('method')!r:.80}",
                    f"known are {', '.join(sorted(handlers))}; is the agent as new as the command?",
                )
            params = message.get("params") or {}
            if not isinstance(params, dict):
                raise ProtocolError("params must be an object")
            reply = encode({"result": handler(self._agent, params)})
        except ProtocolError as error:
            return encode({"error": str(error), "mend": "send one JSON object per line"})
        except RequestError as error:
            return encode({"error": str(error), "mend": error.mend})
        except OSError:
            raise
        except Exception as error:
            self._agent.failures.caught("control", error)
            return encode({"error": f"{type(error).__name__}: {error}", "mend": "see the service's log"})
        if len(reply) > MAX_REPLY:
            return encode({"error": f"the answer is over {MAX_REPLY} bytes", "mend": "ask for less"})
        return reply

    def _known(self) -> Mapping[str, Handler]:
        if self._handlers is None:
            # Here and not above: a process that nobody asks needn't have them in memory.
            from heapwatch.control.handlers import HANDLERS

            self._handlers = HANDLERS
        return self._handlers


def _bind(listener: socket, path: Path) -> None:
    """Bind with mode 0600 from the first moment on; a path may be longer than a socket address allows."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    path.chmod(0o600)


def _peer(connection: socket) -> int:
    """The user id of the process at the other end."""
    credentials = connection.getsockopt(SOL_SOCKET, SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
