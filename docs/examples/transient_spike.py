#!/usr/bin/env python3
"""A spike that RSS hides: one section of a log, found by reading all of it, and by reading line by line.

    python docs/examples/transient_spike.py [--size 64]

Before and after, the process is small; a dashboard that reads RSS every few seconds shows nothing. The kernel
kills by the peak in between. `heapwatch.phase` measures that peak.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import heapwatch

MIB = 1 << 20
SECTION = "checkout"


def write_log(path: Path, size: int) -> None:
    """Some `size` bytes of sections, each a title and a hundred lines."""
    with path.open("w") as log:
        number = 0
        while log.tell() < size:
            name = SECTION if number == 500 else f"section {number}"
            log.write(f"== {name} ==\n" + f"{number:09d} GET /p/{number} 200 took 12 ms\n" * 100)
            number += 1


def whole(path: Path) -> list[str]:
    """As it is often written: the text, a copy without carriage returns, its lines, the lines in sections."""
    text = path.read_text().replace("\r", "")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        title = re.match("== (.*) ==", line)
        if title:
            lines = sections.setdefault(title[1], [])
        else:
            lines.append(line)
    return sections[SECTION]


def streamed(path: Path) -> list[str]:
    """The same, and never more than one line beside the result."""

    def inside() -> Iterator[str]:
        found = False
        with path.open() as log:
            for line in log:
                if line.startswith("== "):
                    found = line == f"== {SECTION} ==\n"
                elif found:
                    yield line.rstrip("\n")

    return list(inside())


def main() -> None:
    parser = argparse.ArgumentParser(description="Show a transient spike of memory.")
    parser.add_argument("--size", type=int, default=64, help="MiB of the log file (default: 64)")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "service.log"
        write_log(path, size * MIB)
        print(f"a section of a log of {size} MiB         rss before      after       peak")
        for name, find in (("streamed", streamed), ("whole file", whole)):
            with heapwatch.phase(name) as phase:
                lines = find(path)
            report = phase.report
            if report is None:
                raise SystemExit("/proc/self/status can't be read here: this needs Linux")
            before = report.rss - report.delta
            sizes = "".join(f"{value / MIB:7.0f} MiB" for value in (before, report.rss, report.peak))
            print(f"{name:<15}{len(lines):>6} lines{'' if report.exact else ', at least':<10}{sizes}")


if __name__ == "__main__":
    main()
