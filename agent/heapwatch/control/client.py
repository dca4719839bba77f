"""The command line's side of the control socket: finds agents, asks them, says what to do when it can't."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from heapwatch.control.paths import search_folders, socket_path, sockets
from heapwatch.control.protocol import MAX_REPLY, ProtocolError, encode, receive
from heapwatch.process import ProcessReader

PROC = Path("/proc")


class ControlError(Exception):
    """An agent that can't be reached or refuses; the text says what is wrong, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


class Client:
    """Talks to the agents of this machine; `folder` is the runtime folder when it isn't the usual one."""

    def __init__(
        self, folder: str = "", timeout: float = 30.0, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._folder = folder or environ.get("HEAPWATCH_RUNTIME_DIR", "")
        self._timeout = timeout
        self._environ = environ

    def call(self, pid: int, method: str, **params: Any) -> Any:
        """The result of `method` of the agent in process `pid`; ControlError when there is none."""
        return self._ask(self._locate(pid), pid, method, params)

    def agents(self) -> list[int]:
        """Pids of this user's processes with an agent, of root everybody's. Sockets of dead processes are
        taken away."""
        found = []
        uids = _owners() if os.getuid() == 0 else {os.getuid()}
        folders = [folder for uid in uids for folder in search_folders(self._folder, uid, self._environ)]
        for folder in dict.fromkeys(folders):
            for pid, path in sockets(folder):
                if _listens(path):
                    found.append(pid)
                elif not (PROC / str(pid)).exists():
                    _take_away(path)
        return sorted(set(found))

    def family(self, pid: int) -> list[int]:
        """Of `pid` and its descendants those that have an agent; ControlError when none has."""
        found = [member for member in sorted({pid, *descendants(pid)}) if self._socket(member) is not None]
        if not found:
            raise self._absent(pid)
        return found

    def call_family(self, pid: int, method: str, **params: Any) -> dict[int, Any]:
        """The results of `method` of each agent in `family`."""
        return {member: self.call(member, method, **params) for member in self.family(pid)}

    def call_willing(self, pid: int, method: str, **params: Any) -> dict[int, Any]:
        """As `call_family`, without those that refuse or can't be asked; ControlError when all do."""
        found, refused = {}, None
        for member in self.family(pid):
            try:
                found[member] = self.call(member, method, **params)
            except ControlError as error:
                refused = error
        if not found and refused is not None:
            raise refused
        return found

    def has_agent(self, pid: int) -> bool:
        """Whether an agent listens in process `pid`."""
        path = self._socket(pid)
        return path is not None and _listens(path)

    def _socket(self, pid: int) -> Path | None:
        owner = _owner(pid)
        uids = {os.getuid()} if owner is None else {os.getuid(), owner}
        for uid in uids:
            for folder in search_folders(self._folder, uid, self._environ):
                path = socket_path(folder, pid)
                if _is_socket(path):
                    return path
        return None

    def _locate(self, pid: int) -> Path:
        path = self._socket(pid)
        if path is None:
            raise self._absent(pid)
        return path

    def _absent(self, pid: int) -> ControlError:
        owner = _owner(pid)
        if owner is None:
            return ControlError(
                f"there is no process {pid}", "heapwatch ps lists the processes with an agent"
            )
        if owner != os.getuid() != 0:
            return ControlError(
                f"process {pid} belongs to user {owner}, you are user {os.getuid()}",
                f"run the command as that user: sudo -u '#{owner}' heapwatch ...",
            )
        return ControlError(
            f"process {pid} has no Heapwatch agent",
            f"heapwatch attach {pid} puts one into it while it runs, heapwatch run -- COMMAND starts a"
            " program with it; if it has one, HEAPWATCH_RUNTIME_DIR must be the same here as there",
        )

    def _ask(self, path: Path, pid: int, method: str, params: dict[str, Any]) -> Any:
        try:
            with _connect(path, self._timeout) as connection:
                connection.sendall(encode({"method": method, "params": params}))
                reply = receive(connection, MAX_REPLY)
        except TimeoutError:
            raise ControlError(
                f"process {pid} doesn't answer within {self._timeout:g} s",
                "it may be stopped, or busy in C code that holds the interpreter; try again",
            ) from None
        except PermissionError:
            raise ControlError(
                f"{path}: permission denied", f"run the command as the owner of process {pid}"
            ) from None
        except (OSError, ProtocolError) as error:
            raise ControlError(
                f"process {pid} can't be asked: {error}", "has it just ended? see heapwatch ps"
            ) from None
        if "error" in reply:
            raise ControlError(f"process {pid}: {reply['error']}", str(reply.get("mend", "")))
        return reply.get("result")


def descendants(pid: int) -> set[int]:
    """The children of process `pid`, their children, and so on."""
    above = dict(parents())
    members = {pid}
    grown = True
    while grown:
        more = {child for child, parent in above.items() if parent in members} - members
        members |= more
        grown = bool(more)
    return members - {pid}


def workers(members: Iterable[int]) -> set[int]:
    """Those of the processes `members` that do a server's work: all but the parents of others of them."""
    found = set(members)
    return found - {parent for child, parent in parents() if child in found}


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Through the folder's descriptor, since a socket address holds 107 characters only.
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def _listens(path: Path) -> bool:
    try:
        _connect(path, 1.0).close()
    except OSError:
        return False
    return True


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False


def _take_away(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return


def _owner(pid: int) -> int | None:
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def _owners() -> set[int]:
    """The users that have processes."""
    owners = (_owner(int(folder.name)) for folder in PROC.iterdir() if folder.name.isdecimal())
    return {owner for owner in owners if owner is not None}


def parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of each process of this machine."""
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                parent = ProcessReader(process=folder.name).parent()
            except OSError:
                continue
            yield int(folder.name), parent
