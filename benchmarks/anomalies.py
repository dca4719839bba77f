"""How good the anomaly detector is on data that nobody in this project wrote.

    python benchmarks/anomalies.py --data DIR [--risk N] [--json]

DIR holds `smd/*.npz` (server machines: train and test, metrics x minutes, labels of the test) and `nab/`
(nab_data.csv.gz, combined_windows.json: single series with anomaly windows). What is missing is named and
skipped.

Server machines: the detector learns from the unlabelled train part and scores the test part once.
  vus_pr     volume under the range-based precision-recall surface, buffers 0 to 25 (Paparrizos 2022)
  best_f1    best F1 over all thresholds, point by point, without point adjustment
  recall     share of labelled events that have an alarm, at the threshold set without labels
  false/day  alarms outside events per machine-day, at the same threshold
  wanted/day what the threshold was asked for (--risk)
Single series: after a probation of 15% the detector learns from the past again each 5% of the file. `nab` is
NAB's score of the standard profile (0 is silence, 100 perfection) at the threshold set without labels.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from heapwatch_analyzer.anomalies import Detector

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BUFFER = 25
THRESHOLDS = 250
PROBATION = 0.15
RELEARN = 0.05
FALSE_POSITIVE, FALSE_NEGATIVE = 0.11, 1.0


def events(labels: BoolArray) -> list[tuple[int, int]]:
    """(first, last) index of each run of True."""
    edges = np.diff(np.concatenate([[0], labels.astype(int), [0]]))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return list(zip(first.tolist(), last.tolist(), strict=True))


def best_f1(labels: BoolArray, scores: FloatArray) -> float:
    hits = np.cumsum(labels[np.argsort(-scores)])
    return float((2 * hits / (np.arange(1, len(labels) + 1) + labels.sum())).max())


def vus_pr(labels: BoolArray, scores: FloatArray) -> float:
    """Mean over buffers of the area under range-based precision and recall."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    levels = ranked[np.linspace(0, len(ranked) - 1, THRESHOLDS).astype(int)]
    predicted = np.searchsorted(-ranked, -levels, side="right")
    found = events(labels)
    areas = [_range_area(labels, scores, found, b, order, levels, predicted) for b in range(BUFFER + 1)]
    return float(np.mean(areas))


def _range_area(
    labels: BoolArray, scores: FloatArray, found: list[tuple[int, int]], buffer: int,
    order: npt.NDArray[np.intp], levels: FloatArray, predicted: npt.NDArray[np.intp],
) -> float:  # fmt: skip
    soft = labels.astype(float)
    half = buffer // 2
    peaks = np.empty(len(found))
    for i, (first, last) in enumerate(found):
        before = np.arange(max(0, first - half), first)
        after = np.arange(last + 1, min(len(labels), last + half + 1))
        soft[before] = np.maximum(soft[before], np.sqrt(1 - (first - before) / max(buffer, 1)))
        soft[after] = np.maximum(soft[after], np.sqrt(1 - (after - last) / max(buffer, 1)))
        peaks[i] = scores[max(0, first - half) : last + half + 1].max()
    positive = float(labels.sum())
    hits = np.cumsum(soft[order])[predicted - 1]
    extended = positive + hits - np.cumsum(labels[order])[predicted - 1]
    existence = (peaks[None, :] >= levels[:, None]).mean(axis=1)
    recall = np.minimum(hits / ((positive + extended) / 2), 1) * existence
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / predicted))


def alarms(detector: Detector, scores: FloatArray) -> BoolArray:
    """Rows in an alarm: over the threshold like the row before."""
    over = scores > detector.threshold
    lasting: BoolArray = over & np.concatenate([[False], over[:-1]])
    return lasting


def machine(path: Path, per_day: float) -> dict[str, float]:
    """Figures of one server machine (a row is a minute)."""
    stored = np.load(path)
    train, test = stored["train"].T / 1e4, stored["test"].T / 1e4
    labels = stored["label"].astype(bool)
    detector = Detector.fit([train], per_day / 1440)
    scores = detector.parts(test).sum(axis=1)
    raised = alarms(detector, scores)
    found = events(labels)
    false = [(a, b) for a, b in events(raised) if not labels[a : b + 1].any()]
    return {
        "vus_pr": vus_pr(labels, scores),
        "best_f1": best_f1(labels, scores),
        "recall": float(np.mean([raised[a : b + 1].any() for a, b in found])),
        "false/day": len(false) / (len(labels) / 1440),
        "wanted/day": per_day,
    }


@dataclass(frozen=True)
class Series:
    """A NAB file: values, (first, last) index of each anomaly window, rows per day."""

    name: str
    values: FloatArray
    windows: list[tuple[int, int]]
    per_day: float


def nab(series: list[Series], per_day: float) -> dict[str, float]:
    """NAB's standard score, recall of windows and false alarms a day over all files."""
    total = perfect = silence = 0.0
    caught = windows = false = 0
    days = 0.0
    for one in series:
        raised = _raised(one, per_day)
        gained, hits, wrong = _nab_score(raised, one.windows)
        total += gained
        perfect += len(one.windows)
        silence -= FALSE_NEGATIVE * len(one.windows)
        caught, windows, false = caught + hits, windows + len(one.windows), false + wrong
        days += len(one.values) * (1 - PROBATION) / one.per_day
    return {
        "nab": 100 * (total - silence) / (perfect - silence),
        "recall": caught / windows,
        "false/day": false / days,
        "wanted/day": per_day,
    }


def _raised(series: Series, per_day: float) -> list[int]:
    """Rows at which an alarm begins."""
    table, count = series.values[:, None], len(series.values)
    over = np.zeros(count, dtype=bool)
    cuts = [int(count * share) for share in np.arange(PROBATION, 1, RELEARN)]
    for start, end in zip(cuts, [*cuts[1:], count], strict=True):
        detector = Detector.fit([table[:start]], per_day / series.per_day)
        over[start:end] = detector.parts(table[:end]).sum(axis=1)[start:] > detector.threshold
    lasting = over & np.concatenate([[False], over[:-1]])
    return [first for first, _ in events(lasting)]


def _nab_score(raised: list[int], windows: list[tuple[int, int]]) -> tuple[float, int, int]:
    """(score, windows caught, false alarms) of one file; the earliest alarm of a window counts."""
    score, false = 0.0, 0
    caught: set[int] = set()
    for row in raised:
        inside = next((i for i, (a, b) in enumerate(windows) if a <= row <= b), None)
        if inside is None:
            before = [(a, b) for a, b in windows if b < row]
            score += FALSE_POSITIVE * _sigmoid((row - before[-1][1]) / _length(before[-1]) if before else 4.0)
            false += 1
        elif inside not in caught:
            caught.add(inside)
            window = windows[inside]
            score += _sigmoid((row - window[1]) / _length(window)) / _sigmoid(-1.0)
    return score - FALSE_NEGATIVE * (len(windows) - len(caught)), len(caught), false


def _length(window: tuple[int, int]) -> float:
    return float(max(1, window[1] - window[0]))


def _sigmoid(position: float) -> float:
    """NAB's weight of an alarm: 1 early in a window, 0 at its end, -1 far behind it."""
    return -1.0 if position > 3 else 2 / (1 + np.exp(5 * position)) - 1


def read_nab(folder: Path) -> list[Series]:
    windows: dict[str, Any] = json.loads((folder / "combined_windows.json").read_text())
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with gzip.open(folder / "nab_data.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            rows[row["file"]].append((_seconds(row["timestamp"]), float(row["value"])))
    found = []
    for name, points in rows.items():
        times, values = np.array(points).T
        spans = [[_seconds(t) for t in pair] for pair in windows.get(name, [])]
        indices = [
            (int(np.searchsorted(times, a)), int(np.searchsorted(times, b, "right")) - 1) for a, b in spans
        ]
        found.append(Series(name, values, indices, 86400 / float(np.median(np.diff(times)))))
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds smd/ and nab/")
    parser.add_argument("--risk", type=float, default=3.0, help="false alarms a day asked for (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    machines = sorted((args.data / "smd").glob("*.npz"))
    if not machines:
        print(f"skipped: server machines ({args.data / 'smd'}/*.npz is missing)", file=sys.stderr)
    for path in machines:
        print(f"{path.stem} ...", file=sys.stderr)
        found[path.stem] = machine(path, args.risk)
    if machines:
        names = list(next(iter(found.values())))
        found["machines, mean"] = {n: float(np.mean([found[p.stem][n] for p in machines])) for n in names}
    if (args.data / "nab" / "nab_data.csv.gz").is_file():
        print("nab ...", file=sys.stderr)
        found["nab"] = nab(read_nab(args.data / "nab"), args.risk)
    else:
        print(f"skipped: NAB ({args.data / 'nab'}/nab_data.csv.gz is missing)", file=sys.stderr)
    if args.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:16}" + "  ".join(f"{k} {v:.3f}" for k, v in row.items()))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
