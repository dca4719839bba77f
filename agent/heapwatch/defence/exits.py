"""How a worker ends so that its server finishes what runs and its manager starts another."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Exit:
    """The signal that ends this process. `graceful`: a server handles it and finishes its requests itself."""

    signal: signal.Signals
    graceful: bool

    def ask(self) -> None:
        """Send it."""
        os.kill(os.getpid(), self.signal)


def find_exit() -> Exit:
    """The way out of this process.

    gunicorn's workers and uvicorn handle SIGTERM: they accept no more, finish, and end. A worker of uWSGI
    does so at SIGHUP, and its master starts another; SIGTERM would end it amid a request. Where nobody
    handles SIGTERM, it ends the process at once.
    """
    if "uwsgi" in sys.modules:  # a module that only uWSGI itself can bring
        return Exit(signal.SIGHUP, True)
    return Exit(signal.SIGTERM, callable(signal.getsignal(signal.SIGTERM)))
