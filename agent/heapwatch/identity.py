"""Who this process is, for everything that it sends."""

from __future__ import annotations

import os
import re
import sys
from _socket import gethostname
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from heapwatch_wire.settings import AgentSettings

from heapwatch.process import ProcessReader

# As WSGI and ASGI servers take it: module:attribute, or module:factory().
_APPLICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(.*\))?")
_OPTIONS_WITH_VALUE = {"-W", "-X", "--check-hash-based-pycs"}


@dataclass(frozen=True)
class Identity:
    """A process of a service. `instance` is unique on all hosts and over time; `started` in Unix seconds."""

    service: str
    version: str
    instance: str
    pid: int
    host: str
    runtime: str
    runtime_version: str
    started: float

    def resource(self) -> dict[str, str | int]:
        """OTLP resource attributes."""
        return {
            "service.name": self.service,
            "service.version": self.version,
            "service.instance.id": self.instance,
            "process.pid": self.pid,
            "host.name": self.host,
            "process.runtime.name": self.runtime,
            "process.runtime.version": self.runtime_version,
        }

    def profile_labels(self) -> dict[str, str]:
        """Labels of a pushed profile."""
        return {
            "__name__": "memory",
            "service_name": self.service,
            "service_version": self.version,
            "instance": self.instance,
            "pid": str(self.pid),
            "host": self.host,
        }


def identify(settings: AgentSettings, command: Sequence[str] | None = None) -> Identity:
    """The identity of this process, its service named by `settings` or else by `command`."""
    pid = os.getpid()
    host = gethostname()
    started = ProcessReader().start_time()
    return Identity(
        service=settings.service or program_name(command_line() if command is None else command),
        version=settings.service_version,
        instance=f"{host}-{pid}-{int(started):x}",
        pid=pid,
        host=host,
        runtime=sys.implementation.name,
        runtime_version=sys.version.partition(" ")[0],
        started=started,
    )


def command_line() -> Sequence[str]:
    """Python's; in a program that has Python inside, its own, as if Python ran it."""
    if sys.orig_argv:
        return sys.orig_argv
    own = Path("/proc/self/cmdline").read_text(errors="replace").split("\0")
    return ["python", *own]


def program_name(command: Sequence[str]) -> str:
    """A service name from a Python command line.

    The application that a server runs ("shop" of `gunicorn -w 2 shop.web:app`), else the module or script
    that Python runs, else "python".
    """
    for argument in command[1:]:
        if _APPLICATION.fullmatch(argument):
            return argument.partition(":")[0].partition(".")[0]
    arguments = iter(command[1:])
    for argument in arguments:
        if argument == "-m":
            return next(arguments, "python").partition(".")[0]
        if argument in _OPTIONS_WITH_VALUE:
            next(arguments, None)
        elif argument in ("-c", "-"):
            break
        elif not argument.startswith("-"):
            return PurePath(argument).stem or "python"
    return "python"
