"""uWSGI forks its workers past Python: before it has, no thread of an agent's may run.

uWSGI is a C program with Python inside. A thread of Python's that holds the interpreter while uWSGI forks
leaves it taken in the worker, which then waits for ever, and `os.register_at_fork` isn't told. So in a
process that is yet to fork, an agent samples what is loaded and has no thread. In each worker, mule and
spooler, and in the only process where there is no master, uWSGI calls `post_fork_hook` of its module: there
the thread starts.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from heapwatch.threads import sleep

LIBRARY = "pyuwsgi"
SCRIPTS = ("uwsgi", "pyuwsgi")
TASKS = Path("/proc/self/task")
HOOK = "post_fork_hook"


def forks_later() -> bool:
    """Whether this is a process of uWSGI's that has not become a worker yet."""
    module = sys.modules.get("uwsgi")
    if not hasattr(module, "worker_id"):
        # uWSGI, a program or a library that is only there to be run, fills its module after Python's start.
        script = PurePath(*sys.orig_argv[1:2]).name
        return script in SCRIPTS or LIBRARY in sys.modules or hasattr(ctypes.CDLL(None), "uwsgi_setup")
    assert module is not None
    return module.worker_id() == 0 and module.masterpid() in (0, os.getpid())


def wait_alone(limit: float) -> None:
    """Wait until this process has no other thread, at most `limit` seconds: the last thing that a thread does
    takes the interpreter, too."""
    deadline = time.monotonic() + limit
    while len(list(TASKS.iterdir())) > 1 and time.monotonic() < deadline:
        sleep(0.001)


def check_threads() -> None:
    """RuntimeError when uWSGI lets no thread of Python's run beside it: by default up to 2.0.27."""
    if not getattr(sys.modules.get("uwsgi"), "has_threads", True):
        raise RuntimeError(
            "uWSGI runs no threads of Python's, and the agent needs one: start it with --enable-threads"
        )


def after_fork(action: Callable[[], None]) -> None:
    """Call `action()` in each process that uWSGI forks for Python, and in the only one that doesn't fork.

    It comes before the service's own hook, which may be set now or later. `action` must not raise.
    """

    def chained(theirs: Callable[[], object] | None) -> Callable[[], None]:
        def hook() -> None:
            action()
            if theirs is not None:
                theirs()

        return hook

    class Module(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, chained(value) if name == HOOK else value)

    # uWSGI fills a module that is there already.
    module = sys.modules.setdefault("uwsgi", ModuleType("uwsgi"))
    module.__class__ = Module
    setattr(module, HOOK, getattr(module, HOOK, None))
