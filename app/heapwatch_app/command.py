"""`heapwatch app`: serve the reference service, fill it, put load on it, switch its faults."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from heapwatch_wire.config import load
from heapwatch_wire.shapes import offer_json, print_json

from heapwatch_app.load import options as load_options
from heapwatch_app.settings import SECTION, AppSettings

HELP = "the reference service: serve, seed, load, fault, routes"
EXTRA = "app"

KEEP_ALIVE = "65"
"""Seconds that an idle connection stays open: longer than people or load pause between two requests, or
a form might be sent on a connection that is just being closed."""

SHAPES = {
    "seed": {"users": "number", "posts": "number", "password": "everybody's"},
    "fault": [{"name": "text", "on": "true|false", "description": "text"}],
    "routes": [{"methods": ["text"], "path": "route template", "endpoint": "text"}],
}
"""What each subcommand prints with --json, as heapwatch_wire.shapes has it."""

# What needs the extra is imported inside the functions: the command line lists its commands without it.


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands to `parser`."""
    commands = parser.add_subparsers(dest="app_command", required=True, metavar="COMMAND")
    _configure_serve(commands.add_parser("serve", help="serve it with gunicorn, the agent attached"))
    seed = commands.add_parser("seed", help="add people, posts, follows, likes and comments")
    seed.add_argument("--users", type=int, default=60, help="people to add (default: 60)")
    seed.add_argument("--posts", type=int, default=300, help="posts to add (default: 300)")
    seed.set_defaults(function=_seed)
    load_parser = commands.add_parser("load", help="put load on a running service")
    load_options.configure(load_parser)
    load_parser.set_defaults(function=_load)
    fault = commands.add_parser("fault", help="show or switch memory leaks, at run time")
    fault.add_argument("name", nargs="?", help="name of a fault; without it all are shown")
    fault.add_argument("state", nargs="?", choices=("on", "off"), help="new state")
    fault.set_defaults(function=_fault)
    routes = commands.add_parser("routes", help="list the routes")
    routes.set_defaults(function=_routes)
    for name, shape in SHAPES.items():
        offer_json(commands.choices[name], shape)


def _configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--threads", type=int, default=4, help="threads per process (default: 4)")
    parser.add_argument(
        "--agent",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="attach the Heapwatch agent, set up by HEAPWATCH_* variables (default: attach)",
    )
    parser.set_defaults(function=_serve)


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand; the exit code."""
    code: int = args.function(args)
    return code


def _settings() -> AppSettings:
    return load(AppSettings, SECTION)


def gunicorn_command(args: argparse.Namespace) -> list[str]:
    """The command line that `serve` becomes."""
    command = [
        sys.executable, "-m", "gunicorn", "heapwatch_app.web:create_app()",
        "--bind", f"{args.host}:{args.port}",
        "--workers", str(args.workers),
        "--worker-class", "gthread",
        "--threads", str(args.threads),
        "--graceful-timeout", "5",
        "--keep-alive", KEEP_ALIVE,
        "--no-control-socket",
    ]  # fmt: skip
    return [sys.executable, "-m", "heapwatch", "run", "--", *command] if args.agent else command


def _serve(args: argparse.Namespace) -> int:
    if args.agent:
        os.environ.setdefault("HEAPWATCH_SERVICE", "heapwatch-app")
    command = gunicorn_command(args)
    # The server takes this process's place, so that whoever started it can stop it by its id.
    os.execv(command[0], command)


def _seed(args: argparse.Namespace) -> int:
    from heapwatch_app.load.seed import PASSWORD, seed

    seed(_settings(), args.users, args.posts)
    if args.json:
        print_json({"users": args.users, "posts": args.posts, "password": PASSWORD})
    else:
        print(f"Added {args.users} people and {args.posts} posts. Everybody's password is {PASSWORD}")
    return 0


def _load(args: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "heapwatch_app.load", "--host", args.host]
    command += ["--users", str(args.users), "--rate", str(args.rate), "--minutes", str(args.minutes)]
    if args.json_stats:
        command += ["--json-stats", str(Path(args.json_stats).absolute())]
    # locust replaces parts of the standard library by gevent's, so it gets a fresh interpreter.
    os.execv(command[0], command)


def _fault(args: argparse.Namespace) -> int:
    from heapwatch_app.faults import FAULTS
    from heapwatch_app.faults.switches import Switches

    switches = Switches(_settings().faults_file)
    if args.name and args.name not in FAULTS:
        print(f"heapwatch app fault: no fault {args.name!r}; known are {', '.join(FAULTS)}", file=sys.stderr)
        return 2
    if args.name and args.state:
        switches.set(args.name, args.state == "on")
    on = switches.read()
    names = [args.name] if args.name else list(FAULTS)
    if args.json:
        told = [{"name": n, "on": n in on, "description": FAULTS[n].description} for n in names]
        print_json(told)
        return 0
    for name in names:
        print(f"{name:12} {'on ' if name in on else 'off'}  {FAULTS[name].description}")
    return 0


def _routes(args: argparse.Namespace) -> int:
    from heapwatch_app.web import create_app

    rules = sorted(create_app().url_map.iter_rules(), key=lambda r: r.rule)
    rows = [(sorted((r.methods or set()) - {"HEAD", "OPTIONS"}), r.rule, str(r.endpoint)) for r in rules]
    if args.json:
        print_json([{"methods": m, "path": path, "endpoint": endpoint} for m, path, endpoint in rows])
        return 0
    for methods, path, endpoint in rows:
        print(f"{','.join(methods):6} {path:36} {endpoint}")
    return 0
