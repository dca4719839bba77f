"""The process that runs the user's file: `python -m heapwatch.leaktest.child`.

Arguments: file descriptors of a pipe and of a `Position`, the plan as JSON, and LD_PRELOAD for processes that
the file starts. It writes one JSON object a line to the pipe: {"done": steps, "of": steps} now and then, last
{"report": ...} or {"error": text}.

It is started with SIGINT blocked: whoever types Ctrl-C while it starts wants no traceback of that.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.position import Position
from heapwatch.leaktest.program import Broken
from heapwatch.leaktest.report import to_json
from heapwatch.leaktest.session import test_file

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run the plan; 0 when there is a report."""
    pipe, shared, plan, preload = arguments
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return _test(int(pipe), int(shared), Plan(**json.loads(plan)), preload)
    except KeyboardInterrupt:
        return INTERRUPTED


def _test(descriptor: int, shared: int, plan: Plan, preload: str) -> int:
    os.set_inheritable(descriptor, False)
    position = Position(shared)
    os.close(shared)
    os.environ.pop("LD_PRELOAD", None)
    if preload:
        os.environ["LD_PRELOAD"] = preload
    with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:

        def tell(message: dict[str, object]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        try:
            report = test_file(plan, lambda done, of: tell({"done": done, "of": of}), position)
            tell({"report": to_json(report)})
        except Broken as error:
            tell({"error": str(error)})
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
