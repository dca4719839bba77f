"""From the command line to a command: the agent's own, or a server room's found by its entry point."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

from heapwatch_wire.config import ConfigError

from heapwatch.cli.commands import (
    attach,
    census,
    diff,
    doctor,
    drain,
    garbage,
    holders,
    leaks,
    leaktest,
    memory,
    pause,
    ps,
    report,
    requests,
    resume,
    run,
    snapshot,
    top,
    trim,
    version,
)
from heapwatch.cli.options import Failure
from heapwatch.control.client import ControlError

GROUP = "heapwatch.commands"

EPILOG = """\
begin with:
  heapwatch run -- gunicorn app:app      your service with the agent in it, no code changed
  heapwatch attach PID                   a Python process that runs already
  heapwatch ps                           which processes have an agent
  heapwatch leaks PID                    what grows there, and what holds it
  heapwatch doctor PID                   what is wrong, what to look at, what is safe to do now

exit code: 0 done, 1 it could not be done (the reason is on stderr), 2 wrong usage
"""


class Command(Protocol):
    """A module that makes a command."""

    @property
    def HELP(self) -> str: ...
    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


OWN: Mapping[str, Command] = {
    "run": run,
    "attach": attach,
    "ps": ps,
    "top": top,
    "leaks": leaks,
    "holders": holders,
    "census": census,
    "memory": memory,
    "requests": requests,
    "doctor": doctor,
    "snapshot": snapshot,
    "report": report,
    "diff": diff,
    "gc": garbage,
    "trim": trim,
    "drain": drain,
    "pause": pause,
    "resume": resume,
    "leaktest": leaktest,
    "version": version,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's) names; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    args = _parser(arguments, plugins).parse_args(arguments)
    try:
        return int(args.run(args))
    except (ControlError, Failure) as error:
        return _fail(str(error), error.mend)
    except ConfigError as error:
        return _fail(str(error), "docs/configuration.md lists all settings")
    except ModuleNotFoundError as error:
        if args.extra and not str(error.name).startswith("heapwatch"):
            return _fail(f"{error.name} is not installed", _how_to_install(args.command, args.extra))
        raise
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(arguments: Sequence[str], plugins: Mapping[str, EntryPoint]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="heapwatch",
        description="Where memory grows, what holds it, when the limit is hit, what to change.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help=version.HELP)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in OWN.items():
        _add(commands, name, command, extra="")
    named = arguments[0] if arguments else ""
    # A known command needs no other; the list of commands needs all.
    wanted = {named} if named in OWN or named in plugins else set(plugins)
    for name in sorted(wanted & plugins.keys()):
        _add_plugin(commands, plugins[name])
    return parser


class _Version(argparse.Action):
    """Ends the command with its version; argparse's own would look for it on every call."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        print(version.line())
        parser.exit()


def _add_plugin(commands: argparse._SubParsersAction[argparse.ArgumentParser], point: EntryPoint) -> None:
    try:
        command = cast(Command, point.load())
    except ModuleNotFoundError as error:
        missing = str(error)

        def explain(args: argparse.Namespace) -> int:
            raise Failure(f"{point.name} can't be loaded: {missing}", _how_to_install(point.name, "server"))

        parser = commands.add_parser(point.name, help=f"not available: {missing}", add_help=False)
        parser.add_argument("rest", nargs=argparse.REMAINDER)
        parser.set_defaults(run=explain, extra="")
        return
    _add(commands, point.name, command, extra=str(getattr(command, "EXTRA", "")))


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, extra: str
) -> None:
    parser = commands.add_parser(
        name,
        help=command.HELP,
        description=command.HELP[:1].upper() + command.HELP[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    parser.set_defaults(run=command.run, extra=extra)


def _how_to_install(command: str, extra: str) -> str:
    return f"heapwatch {command} needs: pip install 'heapwatch[{extra}]'"


def _fail(text: str, mend: str) -> int:
    print(f"heapwatch: {text}", file=sys.stderr)
    if mend:
        print(f"  {mend}", file=sys.stderr)
    return 1
