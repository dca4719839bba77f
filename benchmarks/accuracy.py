"""How exact the sampler's estimates are: each against the truth, which the same process knows.

    python -m benchmarks.accuracy [--intervals 512,64,4] [--error 0.12]

A trial allocates blocks at one line, asks the sampler what lives there, and frees them. Trials are repeated
until the standard error of their mean is `--error` percent, so a bias of twice that would show. Theory is the
formula in _sampler/estimate.h: a block of s bytes is sampled with p = 1 - exp(-s/R) and stands for s/p bytes,
hence independent blocks give the variance sum(s^2 (1-p)/p).
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from heapwatch import _sampler

from benchmarks.results import Result, Table, record

KIB, MIB = 1 << 10, 1 << 20
SIZES = [16, 40, 64, 128, 256, 512, 513, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
SAMPLES = 64
"""Expected samples of a trial of small blocks: a relative error of 12.5%."""
FEWEST_BLOCKS = 16
FEWEST_TRIALS = 400
"""The measured spread of so many trials is itself exact to 3.5%."""
BYTES_HEADER = 33


@dataclass(frozen=True)
class Site:
    """Blocks of `sizes` bytes; `hold` allocates them and keeps them until `release`."""

    name: str
    sizes: Sequence[int]
    hold: Callable[[], None]
    release: Callable[[], None]


@dataclass(frozen=True)
class Finding:
    """Relative errors: mean, standard error of the mean, spread of single trials (measured, by theory)."""

    site: str
    blocks: int
    bytes: int
    trials: int
    bias: float
    bias_error: float
    objects_bias: float
    objects_error: float
    spread: float
    theory: float


def blocks(name: str, sizes: Sequence[int]) -> Site:
    """bytes objects of those sizes, or plain objects of 16."""
    held: list[object] = [None] * len(sizes)
    empty: list[object] = [None] * len(sizes)
    lengths = [size - BYTES_HEADER for size in sizes]

    def new() -> Iterator[object]:
        if sizes[0] < BYTES_HEADER:
            return itertools.starmap(object, itertools.repeat((), len(sizes)))
        return map(bytes, lengths)

    def hold_blocks() -> None:
        held[:] = new()

    def release() -> None:
        held[:] = empty

    return Site(name, sizes, hold_blocks, release)


def lists(count: int, length: int) -> Site:
    """Storage of lists that grow item by item, so by realloc."""
    held: list[list[None]] = [[] for _ in range(count)]
    probe: list[None] = []
    for _ in range(length):
        probe.append(None)
    storage = sys.getsizeof(probe) - sys.getsizeof([])

    def hold_lists() -> None:
        for _ in range(length):
            for one in held:
                one.append(None)

    def release() -> None:
        for one in held:
            one.clear()

    return Site(f"lists of {length}, grown by append", [storage] * count, hold_lists, release)


def mixed(total: int) -> Site:
    """Log-uniform sizes from 40 bytes to 64 KiB, the same in each trial."""
    draw = random.Random(1)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(int(math.exp(draw.uniform(math.log(40), math.log(64 * KIB)))))
    return blocks("mixed, 40 B to 64 KiB", sizes)


def sites(interval: int) -> Iterator[Site]:
    """One after the other, for each holds memory."""
    for size in SIZES:
        yield blocks(text(size), [size] * max(FEWEST_BLOCKS, SAMPLES * interval // size))
    yield mixed(SAMPLES * interval)
    yield lists(max(FEWEST_BLOCKS, SAMPLES * interval // 8856), 1000)


def theory(sizes: Sequence[int], interval: int) -> float:
    """Relative standard error of a trial's live bytes."""
    variance = 0.0
    for size in sizes:
        odds = 1 / math.expm1(min(size / interval, 700.0))  # (1-p)/p
        variance += size * size * odds
    return math.sqrt(variance) / sum(sizes)


def estimate(function: str) -> tuple[float, float]:
    """(bytes, objects) that live at the site, by the sampler."""
    total_bytes = total_objects = 0.0
    for row in _sampler.export():
        if row[1] and row[1][0][0].endswith(function):
            total_objects += row[5]
            total_bytes += row[6]
    return total_bytes, total_objects


def measure(site: Site, interval: int, error: float) -> Finding:
    """Repeats trials until the mean is exact to `error`; RuntimeError if the sampler changed its interval."""
    expected = theory(site.sizes, interval)
    wanted = math.ceil((expected / error) ** 2)
    trials = max(wanted, FEWEST_TRIALS if expected > error else FEWEST_BLOCKS)
    truth, count = sum(site.sizes), len(site.sizes)
    by_bytes, by_objects = [], []
    for _ in range(trials):
        site.hold()
        found_bytes, found_objects = estimate(site.hold.__name__)
        site.release()
        by_bytes.append(found_bytes / truth - 1)
        by_objects.append(found_objects / count - 1)
    if _sampler.stats()["interval"] != interval:
        raise RuntimeError("the sampler's table was full: fewer samples per trial are needed")
    spread, objects_spread = statistics.pstdev(by_bytes), statistics.pstdev(by_objects)
    return Finding(
        site.name,
        count,
        truth,
        trials,
        statistics.fmean(by_bytes),
        spread / math.sqrt(trials),
        statistics.fmean(by_objects),
        objects_spread / math.sqrt(trials),
        spread,
        expected,
    )


def text(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def table(interval: int, findings: list[Finding]) -> Table:
    rows = [
        [
            found.site,
            f"{found.blocks}",
            f"{found.trials}",
            f"{100 * found.bias:+.2f}% ± {100 * found.bias_error:.2f}",
            f"{100 * found.objects_bias:+.2f}% ± {100 * found.objects_error:.2f}",
            f"{100 * found.spread:.2f}%",
            f"{100 * found.theory:.2f}%",
            f"{found.spread / found.theory:.3f}" if found.theory > 1e-6 else "",
        ]
        for found in findings
    ]
    note = (
        "Bias is the mean relative error of all trials ± its standard error (goal: under 0.5%); spread "
        "is the relative standard deviation of a single trial (goal: within 10% of theory)."
    )
    columns = ["block", "blocks", "trials", "bias, bytes", "bias, objects", "spread", "theory", "ratio"]
    return Table(f"One sample per {text(interval)}", columns, rows, note)


def summary(found: dict[int, list[Finding]]) -> Table:
    """The worst of each interval."""
    rows = []
    for interval, findings in found.items():
        worst = max(findings, key=lambda f: abs(f.bias))
        random_ones = [f for f in findings if f.trials >= FEWEST_TRIALS]
        scores = [f.bias / f.bias_error for f in random_ones]
        ratios = [f.spread / f.theory for f in random_ones]
        rows.append(
            [
                text(interval),
                f"{100 * worst.bias:+.2f}% ± {100 * worst.bias_error:.2f} ({worst.site})",
                f"{math.sqrt(statistics.fmean(score**2 for score in scores)):.2f}",
                f"{min(ratios):.3f}–{max(ratios):.3f}",
            ]
        )
    columns = ["interval", "largest bias", "biases in standard errors", "spread against theory"]
    note = "Biases in standard errors (root mean square over all sites) are 1 where there is no bias."
    return Table("The worst of all block sizes", columns, rows, note)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--intervals", default="512,64,4", help="KiB, comma-separated")
    parser.add_argument("--error", type=float, default=0.12, help="standard error wanted, in percent")
    args = parser.parse_args()
    found: dict[int, list[Finding]] = {}
    for interval in (int(kib) * KIB for kib in args.intervals.split(",")):
        _sampler.start(interval, 32)
        found[interval] = []
        for site in sites(interval):
            found[interval].append(measure(site, interval, args.error / 100))
            print(f"  {text(interval)}: {found[interval][-1]}", file=sys.stderr)
    data: dict[str, Any] = {text(i): [asdict(f) for f in findings] for i, findings in found.items()}
    about = (
        "Blocks of one size, or mixed ones, allocated at one line of Python and held; the sampler's "
        "estimate of that line's live memory against the truth."
    )
    command = f"python -m benchmarks.accuracy --intervals {args.intervals} --error {args.error}"
    tables = [summary(found), *(table(interval, findings) for interval, findings in found.items())]
    record(Result("accuracy", 30, "Accuracy", about, command, tables, data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
