"""`python driver.py MODULE ARGUMENTS...` is `python -m MODULE ARGUMENTS...`, then asks the sampler for all
it has.

Writes the sampler's statistics as JSON to the file that HEAPWATCH_SAFETY_REPORT names.
"""

import json
import os
import runpy
import sys

import sitecustomize  # type: ignore[import-not-found]  # ours, found at start


def _report() -> None:
    sampler = sitecustomize.sampler
    stats = {}
    if sampler is not None:
        rows = sampler.export()
        for row in sorted(rows, key=lambda row: -row[6])[:5]:
            sampler.live_samples(row[0], 100)
            [type(item).__name__ for _, item in sampler.Walk([row[0]], 20).objects(0.05)]
        stats = {**sampler.stats(), "rows": len(rows)}
    with open(os.environ["HEAPWATCH_SAFETY_REPORT"], "w") as file:  # noqa: PTH123 - imports nothing more
        json.dump(stats, file)


if __name__ == "__main__":
    del sys.argv[0]
    directory, module = os.getcwd(), sys.argv[0]  # noqa: PTH109 - pathlib may not be loaded
    sys.path[0] = ""  # as -m has it
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        os.chdir(directory)
        _report()
