"""`heapwatch attach PID`: the agent in a process that runs already."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import heapwatch_wire
from heapwatch_wire.shapes import print_json

import heapwatch
from heapwatch.attach.attaching import Attached, attach
from heapwatch.attach.errors import AttachError, ForksPastPython, NotPython
from heapwatch.attach.official import remote_exec
from heapwatch.cli.options import Failure, add_json, add_settings, explain, pid_argument, settings
from heapwatch.cli.units import duration, size
from heapwatch.control.client import Client, descendants

HELP = "start the agent in a Python process that runs already, or stop it"

SOCKET_LIMIT = 10.0

EXAMPLES = """\
  heapwatch attach 4711
  heapwatch attach 4711 --children --service shop --collector http://127.0.0.1:4040
  heapwatch attach --stop 4711

What lived before is not known: samples are of what is allocated from now on. A process that is attached to
goes on as before if it fails. Of uWSGI only the workers can be attached to: --children takes those that
the master has now, and the ones that follow them have no agent. Linux on x86-64 (elsewhere CPython 3.14);
needs the right to trace the process (same user, or root).
Exit code: 0 done, 1 it could not be done, 2 wrong usage
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pid", type=pid_argument, metavar="PID", help="a process that runs Python")
    parser.add_argument(
        "--stop", "--detach", action="store_true", help="stop the agent in the process instead"
    )
    parser.add_argument(
        "--children", action="store_true", help="take the process's children too, such as a server's workers"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds to wait until the process gets to Python code (default: 30)",
    )
    add_json(parser)
    add_settings(parser)
    parser.usage = "heapwatch attach [--children] [--service NAME] [options] PID"
    explain(parser, EXAMPLES)


def run(args: argparse.Namespace) -> int:
    given = settings(vars(args))
    asking = Client(args.runtime_dir or "")
    if args.stop:
        return _stop(args, asking)
    _refuse_second(args, asking)
    children = sorted(descendants(args.pid)) if args.children else []
    done = {}
    try:
        done[args.pid] = _attach(args.pid, given, args.timeout)
    except ForksPastPython as error:
        if not children:
            raise Failure(str(error), error.mend) from None
    except AttachError as error:
        raise Failure(str(error), error.mend) from None
    for pid in children:
        try:
            done[pid] = _attach(pid, given, args.timeout)
        except NotPython:
            continue
        except AttachError as error:
            print(f"heapwatch: {error}\n  {error.mend}", file=sys.stderr)
    if not done:
        raise Failure(f"no process below {args.pid} could be attached to", f"pstree -p {args.pid} shows them")
    _show(args, done)
    return 0


def _attach(pid: int, given: Mapping[str, str], timeout: float) -> Attached:
    packages = {module.__name__: _folders(module) for module in (heapwatch, heapwatch_wire)}
    done = attach(pid, given, packages, timeout, remote_exec())
    if not done.report["running"]:
        _wait_for_socket(pid, done.report["folder"])
    return done


def _folders(package: ModuleType) -> list[str]:
    """Where its modules are; in an editable installation the C extension is in another folder."""
    home = str(Path(package.__file__ or "").parent)
    return list(dict.fromkeys([home, *package.__path__]))


def _wait_for_socket(pid: int, folder: str) -> None:
    deadline = time.monotonic() + SOCKET_LIMIT
    while not Client(folder).has_agent(pid):
        if time.monotonic() > deadline:
            raise AttachError(
                f"the agent runs in process {pid}, but makes no socket in {folder}",
                "its log says why; does the folder belong to the process's user?",
            )
        time.sleep(0.02)


def _refuse_second(args: argparse.Namespace, asking: Client) -> None:
    if asking.has_agent(args.pid) and not args.children:
        raise Failure(
            f"process {args.pid} has an agent already",
            f"ask it: heapwatch top {args.pid}; to stop it: heapwatch attach --stop {args.pid}",
        )


def _stop(args: argparse.Namespace, asking: Client) -> int:
    pids = asking.family(args.pid) if args.children else [args.pid]
    answers = {pid: asking.call(pid, "stop") for pid in pids}
    if args.json:
        print_json(answers)
        return 0
    for pid in answers:
        print(f"process {pid}: the agent has stopped; the process goes on")
    return 0


def _show(args: argparse.Namespace, done: Mapping[int, Attached]) -> None:
    if args.json:
        print_json({pid: {**attached.report, "held": attached.held} for pid, attached in done.items()})
        return
    for pid, attached in done.items():
        print(_line(pid, attached.report))
        if attached.report.get("reason"):
            print(f"  no allocations are sampled: {_why(attached.report)}")
    held = [attached.held for attached in done.values() if attached.held is not None]
    if held:
        print(f"one thread stood still for {duration(max(held))}")
    print("next:")
    stop = "heapwatch attach --stop --children" if args.children else "heapwatch attach --stop"
    for what in ("heapwatch top", "heapwatch leaks", stop):
        print(f"  {what} {args.pid}{_elsewhere(done)}")


def _line(pid: int, report: Mapping[str, Any]) -> str:
    if report["running"]:
        return f"process {pid} had an agent already"
    sampling = f", a sample every {size(report['interval'])}" if report["interval"] else ""
    return f"attached to process {pid}: {report['service']}, Python {report['python']}{sampling}"


def _why(report: Mapping[str, Any]) -> str:
    version = str(report["python"]).rpartition(".")[0]
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return str(report["reason"])
    return (
        f"this heapwatch is for another Python; install heapwatch for Python {version} and attach with that"
    )


def _elsewhere(done: Mapping[int, Attached]) -> str:
    """The option without which other commands wouldn't find the sockets."""
    pid, report = next((pid, attached.report) for pid, attached in done.items())
    folder = report.get("folder", "")
    found = not folder or "HEAPWATCH_RUNTIME_DIR" in os.environ or Client().has_agent(pid)
    return "" if found else f" --runtime-dir {folder}"
