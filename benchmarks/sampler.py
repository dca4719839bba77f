"""All benchmarks of the sampler, one after the other; each prints its tables and records its result.

    python -m benchmarks.sampler [--only accuracy,latency] [--quick]

A step that fails is named at the end and the others go on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

STEPS = {
    "instructions": ["benchmarks.overhead", "instructions"],
    "cpu": ["benchmarks.overhead", "cpu"],
    "accuracy": ["benchmarks.accuracy"],
    "scaling": ["benchmarks.scaling"],
    "latency": ["benchmarks.latency"],
    "export": ["benchmarks.export"],
    "footprint": ["benchmarks.footprint"],
    "pyperformance": ["benchmarks.pyperformance"],
}
"""Name -> module and arguments."""
QUICK = {
    "instructions": ["--repeats", "1"],
    "cpu": ["--rounds", "3", "--scale", "0.3"],
    "accuracy": ["--error", "1"],
    "scaling": ["--rounds", "3", "--repeats", "1"],
    "latency": ["--blocks", "30"],
    "export": ["--live", "1000,60000"],
    "footprint": ["--minutes", "0.5"],
    "pyperformance": ["--rounds", "2"],
}
"""What makes a step short: for a look, not for a record."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(STEPS), help=f"comma-separated, of {', '.join(STEPS)}")
    parser.add_argument("--quick", action="store_true", help="less of each, for a look at the tables")
    args = parser.parse_args()
    failed = []
    for name in args.only.split(","):
        begin = time.monotonic()
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", *STEPS[name], *(QUICK.get(name, []) if args.quick else [])]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        print(f"({name} took {(time.monotonic() - begin) / 60:.1f} minutes)", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
