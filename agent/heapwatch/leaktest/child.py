"""The process that runs the user's file: `python -m heapwatch.leaktest.child`.

Arguments: a pipe's file descriptor, the plan as JSON, and LD_PRELOAD for processes that the file starts. It
writes one JSON object a line to the pipe: {"done": steps, "of": steps} now and then, last {"report": ...} or
{"error": text}.
"""

from __future__ import annotations

import json
import os
import sys

from heapwatch.leaktest.plan import Plan
from heapwatch.leaktest.program import Broken
from heapwatch.leaktest.report import to_json
from heapwatch.leaktest.session import test_file


def main(arguments: list[str]) -> int:
    """Run the plan; 0 when there is a report."""
    descriptor = int(arguments[0])
    plan = Plan(**json.loads(arguments[1]))
    os.set_inheritable(descriptor, False)
    os.environ.pop("LD_PRELOAD", None)
    if arguments[2]:
        os.environ["LD_PRELOAD"] = arguments[2]
    with os.fdopen(descriptor, "w", encoding="utf-8") as pipe:

        def tell(message: dict[str, object]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        try:
            report = test_file(plan, lambda done, of: tell({"done": done, "of": of}))
            tell({"report": to_json(report)})
        except Broken as error:
            tell({"error": str(error)})
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
