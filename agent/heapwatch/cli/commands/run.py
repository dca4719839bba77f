"""`heapwatch run -- COMMAND`: a program with the agent in it, its code unchanged."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heapwatch_wire.config import variable

from heapwatch.cli.options import Failure, add_settings, settings
from heapwatch.preload import PACKAGES, CannotPreload, allocator, native_library, preload
from heapwatch.uwsgi import SCRIPTS

HELP = "run a program with the agent in each Python process of it"

BOOTSTRAP = Path(__file__).resolve().parents[2] / "bootstrap"

EXAMPLES = """\
examples:
  heapwatch run -- gunicorn -w 4 shop:app
  heapwatch run --service shop --collector http://127.0.0.1:4040 -- gunicorn -w 4 shop:app
  heapwatch run -- uwsgi --http :8000 --master -p 4 -w shop:app
  heapwatch run -- python worker.py
  heapwatch run --native -- python worker.py
  heapwatch run --malloc jemalloc -- gunicorn -w 4 shop:app

Under uWSGI each worker has an agent, and the master none. uWSGI's threads are switched on, too; where a
script starts it, give it --enable-threads (needed up to 2.0.27).

The program takes the place of this command: same process id, signals and exit code. A token for the
collector is given in the environment: HEAPWATCH_TOKEN. Exit code 127 when there is no such program, 126
when it can't be run, else the program's own.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--native",
        action="store_true",
        help="see memory of C libraries and extensions too: preload a library that samples malloc and mmap",
    )
    parser.add_argument(
        "--malloc",
        choices=sorted(PACKAGES),
        help="put this allocator in malloc's place, which may waste less memory on fragmentation; Python"
        " keeps its own for small objects (PYTHONMALLOC=malloc gives it those too)",
    )
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    parser.usage = "heapwatch run [--service NAME] [--collector ADDRESS] [options] -- COMMAND ..."
    parser.epilog = EXAMPLES


def run(args: argparse.Namespace) -> int:
    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if not program:
        raise Failure("no program to run", "write it after --: heapwatch run -- gunicorn app:app")
    environ = environment(vars(args), os.environ)
    if Path(program[0]).name.startswith(SCRIPTS):
        environ.setdefault("UWSGI_ENABLE_THREADS", "true")  # as its option says, needed up to 2.0.27
    try:
        libraries = [native_library()] if args.native else []
        libraries += [allocator(args.malloc)] if args.malloc else []
    except CannotPreload as error:
        raise Failure(str(error), error.mend) from None
    if libraries:
        environ["LD_PRELOAD"] = preload(*libraries, present=os.environ.get("LD_PRELOAD", ""))
    try:
        os.execvpe(program[0], program, environ)
    except FileNotFoundError:
        return _refuse(f"{program[0]}: no such program; is its virtual environment active?", 127)
    except OSError as error:
        return _refuse(f"{program[0]}: {error.strerror}", 126)


def environment(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the agent's settings from `options` and the folder that starts it on Python's path.

    ConfigError for an option that can't be used.
    """
    result = {**environ, **{variable(name): value for name, value in settings(options).items()}}
    result[variable("enabled")] = "on"
    path = [str(BOOTSTRAP), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    result["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    return result


def _refuse(text: str, code: int) -> int:
    print(f"heapwatch: {text}", file=sys.stderr)
    return code
