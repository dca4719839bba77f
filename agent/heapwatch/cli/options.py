"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from heapwatch_wire.config import Setting, parse, rows
from heapwatch_wire.settings import AgentSettings
from heapwatch_wire.shapes import explained

from heapwatch.cli.shapes import SHAPES
from heapwatch.control.client import Client

CODES = "exit code: 0 done, 1 it could not be done, 2 wrong usage"

# A command line is seen by every user of the machine; "enabled" is what the commands are for.
_NOT_OPTIONS = {"enabled", "token"}


class Failure(Exception):
    """A command that can't do its work; the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


def no_agent(service: str, mend: str) -> Failure:
    """That no process has an agent: of `service`, or of this user when that is empty."""
    return Failure(f"no process of {f'service {service}' if service else 'this user'} has an agent", mend)


def add_pid(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """PID of a process with an agent, or of one whose children have agents."""
    parser.add_argument(
        "pid",
        type=pid_argument,
        nargs="?" if optional else None,
        metavar="PID",
        help="a process with an agent; of a server's main process, its workers are taken too",
    )


def add_common(parser: argparse.ArgumentParser, examples: str) -> None:
    """--json and --runtime-dir, and examples below the help."""
    add_json(parser)
    parser.add_argument(
        "--runtime-dir",
        default="",
        metavar="DIR",
        help="folder of the control sockets, when the service was started with HEAPWATCH_RUNTIME_DIR",
    )
    explain(parser, f"{examples}\n{CODES}")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json, whose shape `explain` shows."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; its shape is below")


def explain(parser: argparse.ArgumentParser, examples: str) -> None:
    """Examples, and the shape of the command's JSON, below the help."""
    shape = SHAPES[parser.prog.rpartition(" ")[2]]
    parser.epilog = f"examples:\n{examples.rstrip()}\n\n{explained(shape)}"


def client(args: argparse.Namespace) -> Client:
    """A client for the arguments of `add_common`."""
    return Client(args.runtime_dir)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """An option for each setting of an agent."""
    for name, row in _setting_options():
        flag = "--" + name.replace("_", "-")
        known = ("off", "on")[row.default] if isinstance(row.default, bool) else row.default
        text = (row.help + (f" (default: {known})" if known != "" else "")).replace("%", "%%")
        if isinstance(row.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(flag, default=None, metavar=_metavar(row), help=text)


def settings(options: Mapping[str, Any]) -> dict[str, str]:
    """The settings that were given with the options of `add_settings`, as an environment variable would hold
    them. ConfigError for one that can't be used."""
    known = {field.name: field for field in fields(AgentSettings)}
    given: dict[str, str] = {}
    for name, _ in _setting_options():
        value = options.get(name)
        if value is not None:
            parse(known[name], value, "--" + name.replace("_", "-"))
            given[name] = ("off", "on")[value] if isinstance(value, bool) else value
    return given


def _setting_options() -> Iterator[tuple[str, Setting]]:
    return ((name, row) for name, row in rows(AgentSettings) if name not in _NOT_OPTIONS)


def _metavar(row: Setting) -> str:
    return {"bytes": "SIZE", "seconds": "TIME", "ratio": "RATIO", "count": "N"}.get(row.unit, "TEXT")


def pid_argument(text: str) -> int:
    """A process id as argparse takes it."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no process id; heapwatch ps lists those with an agent")
    return int(text)
