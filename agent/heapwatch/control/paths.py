"""Where the control sockets are: `<folder>/<pid>.sock`, the folder readable by its owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

_SUFFIX = ".sock"


class UnsafeFolder(OSError):
    """The runtime folder belongs to somebody else, or others may write to it."""


def runtime_folder(configured: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder in which this process makes its socket."""
    if configured:
        return Path(configured)
    if environ.get("XDG_RUNTIME_DIR"):
        return Path(environ["XDG_RUNTIME_DIR"]) / "heapwatch"
    return _fallback(os.getuid())


def search_folders(configured: str, uid: int, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders in which a socket of a process of user `uid` may be: the one that is configured, or all
    the usual ones, since a service seldom has the environment of the shell from which it is looked at."""
    if configured:
        return [Path(configured)]
    own = runtime_folder(configured, environ)
    return list(dict.fromkeys([own, Path(f"/run/user/{uid}/heapwatch"), _fallback(uid)]))


def make_folder(folder: Path) -> None:
    """Make `folder` for this user alone. UnsafeFolder when others own it; OSError when it can't be."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UnsafeFolder(
            f"{folder} must be a folder that belongs to user {os.getuid()} and only this user may write to;"
            " set HEAPWATCH_RUNTIME_DIR to another one"
        )


def socket_path(folder: Path, pid: int) -> Path:
    """The socket of process `pid`."""
    return folder / f"{pid}{_SUFFIX}"


def sockets(folder: Path) -> Iterator[tuple[int, Path]]:
    """(pid, path) of each socket in `folder`; nothing where it can't be read."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        if path.suffix == _SUFFIX and path.stem.isdecimal():
            yield int(path.stem), path


def _fallback(uid: int) -> Path:
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"heapwatch-{uid}"  # noqa: S108  # made for its owner alone
