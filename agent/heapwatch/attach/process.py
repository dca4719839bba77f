"""Whether a process can be attached to, and where in it the functions are that do it."""

from __future__ import annotations

import os
import platform
import pwd
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from heapwatch.attach.errors import AttachError, ForksPastPython, NotPython
from heapwatch.attach.images import Image, Memory, images
from heapwatch.attach.inject import FUNCTIONS
from heapwatch.attach.ptrace import MACHINE

OLDEST = (3, 11)
SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")

_C_LIBRARIES = ("libc.so", "libc-2.", "ld-musl", "libpthread")
_SPACES = {"mnt": "file system", "pid": "process ids", "net": "network"}


@dataclass(frozen=True)
class Target:
    """A Python process: its version, such as (3, 11), and the addresses of FUNCTIONS in it."""

    pid: int
    version: tuple[int, int]
    functions: dict[str, int]


def check(pid: int) -> None:
    """AttachError for a process that can't be attached to whatever runs in it."""
    if pid == os.getpid():
        raise AttachError("this is the command's own process", "heapwatch attach PID of another one")
    with _explained(pid):
        _look_at_state(pid)
        _look_at_spaces(pid)


def examine(pid: int) -> Target:
    """Find the functions of a Python process, without touching it. AttachError when it has none, or when our
    thread could do harm there."""
    if platform.machine() != MACHINE or sys.platform != "linux":
        raise AttachError(f"attaching needs Linux on {MACHINE}, elsewhere CPython 3.14 or later", _HOW_ELSE)
    with _explained(pid), closing(Memory(pid)) as memory:
        return _find(pid, memory)


@contextmanager
def _explained(pid: int) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        raise gone(pid) from None
    except PermissionError:
        raise forbidden(pid) from None
    except OSError as error:
        raise AttachError(f"process {pid} can't be looked at: {error}", "has it just ended?") from None


_HOW_ELSE = "start the program with the agent: heapwatch run -- COMMAND"


def gone(pid: int) -> AttachError:
    """The error for a process that isn't there."""
    return AttachError(f"there is no process {pid}", "ps -ef | grep python lists the candidates")


def forbidden(pid: int) -> AttachError:
    """The error for a process that the kernel doesn't let us trace."""
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return gone(pid)
    return refusal(pid, owner, os.geteuid(), _scope())


def refusal(pid: int, owner: int, user: int, scope: int) -> AttachError:
    """Why `user` may not trace a process of `owner`, and what would let them.

    `scope` is the setting kernel.yama.ptrace_scope, see Documentation/admin-guide/LSM/Yama.rst of Linux.
    """
    as_root = f"run as root: sudo {sys.executable} -m heapwatch attach {pid}"
    in_container = "in a container: start that with --cap-add SYS_PTRACE"
    if owner != user != 0:
        return AttachError(f"process {pid} belongs to user {_name(owner)}, you are {_name(user)}", as_root)
    if scope == 3:
        return AttachError(
            "the kernel forbids attaching until it boots anew (kernel.yama.ptrace_scope is 3)", _HOW_ELSE
        )
    if scope and user != 0:
        return AttachError(
            f"the kernel lets only root attach to process {pid} (kernel.yama.ptrace_scope is {scope})",
            as_root,
        )
    return AttachError(
        f"the kernel doesn't let this command attach to process {pid}",
        in_container if user == 0 else f"{in_container}; else {as_root}",
    )


def _look_at_state(pid: int) -> None:
    status = Path(f"/proc/{pid}/status").read_text()
    state, tracer = _field(status, "State")[:1], int(_field(status, "TracerPid"))
    if state == "Z":
        raise AttachError(f"process {pid} has ended", "it only waits for its parent to look at its exit code")
    if state == "T":
        raise AttachError(f"process {pid} is stopped", f"let it run, then try again: kill -CONT {pid}")
    if tracer:
        raise AttachError(f"process {pid} is being traced by process {tracer}", "end that debugger first")


def _field(status: str, name: str) -> str:
    return status.partition(f"\n{name}:\t")[2].partition("\n")[0]


def _look_at_spaces(pid: int) -> None:
    for name, what in _SPACES.items():
        if Path(f"/proc/{pid}/ns/{name}").readlink() != Path(f"/proc/self/ns/{name}").readlink():
            raise AttachError(
                f"process {pid} is in a container ({what} of its own)",
                "run the command in there, such as: docker exec CONTAINER heapwatch attach PID",
            )


def _find(pid: int, memory: Memory) -> Target:
    functions: dict[str, int] = {}
    version = None
    try:
        mapped = list(images(pid, memory.read))
    except FileNotFoundError:
        mapped = []  # A thread of the kernel.
    for image in mapped:
        _look_for_uwsgi(image, pid, memory)
        if "Py_AddPendingCall" not in functions:
            functions.update(_defined(image, (name for name in FUNCTIONS if name.startswith("Py"))))
            version = _version(image, memory)
        if image.name.rpartition("/")[2].startswith(_C_LIBRARIES):
            functions.update(_defined(image, (name for name in FUNCTIONS if not name.startswith("Py"))))
    if "Py_AddPendingCall" not in functions:
        raise NotPython(
            f"process {pid} ({_command(pid)}) is no Python", "ps -ef | grep python lists the candidates"
        )
    if version is None or version < OLDEST:
        raise AttachError(
            f"process {pid} runs a Python older than {OLDEST[0]}.{OLDEST[1]}",
            f"the agent needs CPython {OLDEST[0]}.{OLDEST[1]} or later",
        )
    missing = [name for name in FUNCTIONS if name not in functions]
    if missing:
        raise AttachError(f"process {pid} has no function {missing[0]} that can be called", _HOW_ELSE)
    return Target(pid, version, functions)


def _look_for_uwsgi(image: Image, pid: int, memory: Memory) -> None:
    place = image.find("masterpid") if image.find("uwsgi_setup") is not None else None
    if place is not None and int.from_bytes(memory.read(place, 4), "little") == pid:
        raise ForksPastPython(
            f"process {pid} is uWSGI's first, which forks workers without telling Python: with an agent's"
            " thread in it a worker may hang",
            f"attach to its workers: heapwatch attach --children {pid}; or start it anew, with the agent:"
            " heapwatch run -- uwsgi ...",
        )


def _defined(image: Image, names: Iterable[str]) -> dict[str, int]:
    found = ((name, image.find(name)) for name in names)
    return {name: address for name, address in found if address is not None}


def _version(image: Image, memory: Memory) -> tuple[int, int] | None:
    """(major, minor), from a constant that there is since 3.11."""
    place = image.find("Py_Version")
    if place is None:
        return None
    packed = memory.read(place, 4)
    return packed[3], packed[2]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _scope() -> int:
    try:
        return int(SCOPE.read_text())
    except (OSError, ValueError):
        return 0
