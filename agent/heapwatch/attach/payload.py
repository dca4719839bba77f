"""What runs inside the process that is attached to, in a thread of its own: the text of this file is sent.

It knows nothing of the package that it loads, and either leaves an agent that runs or leaves nothing. When
nobody waits for its report any more, it does nothing.
"""

import _socket
import importlib.util
import json
import os
import sys
from typing import Any

SWITCH_INTERVAL = 0.0002
OURS = ("heapwatch", "heapwatch_wire")


def carry_out(order: dict[str, Any]) -> None:
    """Start the agent and report to the socket `order` names; what that reads is in `inside.start`."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect("\0" + order["address"])
    except OSError:
        return
    known = set(sys.modules)
    undo = None
    interval = sys.getswitchinterval()
    # Importing gives the interpreter away at each access to a file, and gets it back after one such interval
    # for each thread that computes.
    sys.setswitchinterval(min(SWITCH_INTERVAL, interval))
    try:
        report, undo = _start(order)
    except BaseException as error:
        _forget(known)
        report = {"error": f"{type(error).__name__}: {error}", "user": os.geteuid()}
    finally:
        sys.setswitchinterval(interval)
    try:
        connection.sendall(json.dumps(report).encode() + b"\n")
    except OSError:
        if undo:
            undo()
    finally:
        connection.close()


def _start(order: dict[str, Any]) -> Any:
    for name in reversed(OURS):
        _load(name, order["packages"][name])
    from heapwatch.attach.inside import start  # What this file's text runs in may not have had it.

    return start(order["settings"])


def _load(name: str, folders: list[str]) -> None:
    """The process's own installation of a package, whose C extension fits; else the one in `folders`.

    The path stays as it is: the process might find other packages there.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        location = folders[0] + "/__init__.py"
        spec = importlib.util.spec_from_file_location(name, location, submodule_search_locations=folders)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


def _forget(known: set[str]) -> None:
    for name in set(sys.modules) - known:
        if name.partition(".")[0] in OURS:
            del sys.modules[name]
