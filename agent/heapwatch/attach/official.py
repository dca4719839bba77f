"""CPython's own way, from 3.14 on (PEP 768), for machines whose code we don't write: sys.remote_exec.

It needs a script in a file, and the main thread runs that at its next safe point; one that waits in a system
call doesn't get there before it wakes up.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from heapwatch.attach.errors import AttachError
from heapwatch.attach.ptrace import MACHINE

RemoteExec = Callable[[int, str], None]


def remote_exec() -> RemoteExec | None:
    """sys.remote_exec where it is needed and this Python has it."""
    return None if platform.machine() == MACHINE else getattr(sys, "remote_exec", None)


@contextmanager
def script(pid: int, code: str, execute: RemoteExec) -> Iterator[None]:
    """Have process `pid` run `code` in a thread of its own, during a `with` block that waits for it.

    AttachError when Python refuses.
    """
    descriptor, name = tempfile.mkstemp(prefix="heapwatch-attach-", suffix=".py")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"import _thread\n_thread.start_new_thread(exec, ({code!a}, {{}}))\n")
        # The process may be another user's; there are no secrets in it.
        Path(name).chmod(0o644)
        try:
            execute(pid, name)
        except (OSError, RuntimeError, ValueError) as error:
            mend = "it needs the same user or root, and the same version of Python here as there"
            raise AttachError(f"process {pid} can't be attached to: {error}", mend) from None
        yield
    finally:
        Path(name).unlink(missing_ok=True)
