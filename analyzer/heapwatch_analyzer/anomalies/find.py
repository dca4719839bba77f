"""Finds the instances whose newest minutes are unlike their past and their peers."""

from __future__ import annotations

import numpy as np
from heapwatch_wire.analysis import Anomaly
from heapwatch_wire.evidence import Share

from ..observations import FloatArray, Observations
from .detector import LEAST_ROWS, SHORT, Detector
from .features import Table, table

SPAN = 15.0
ROWS = 240
NEWEST = 4
"""Rows that are judged; the rest is the past."""
FALSE_ALARMS_PER_DAY = 3.0
"""Asked of the threshold; far fewer come (benchmarks/anomalies.py)."""
MOST_CAUSES = 4


def anomalies(seen: Observations, warmup: float) -> list[Anomaly]:
    """Anomalies of the newest rows of each instance; none while less than LEAST_ROWS rows were seen."""
    span = max(SPAN, seen.window / ROWS)
    found = [table(seen, i.id, i.started + warmup, span) for i in seen.instances]
    tables = [t for t in found if t is not None and len(t.times) > NEWEST]
    columns = _common(tables)
    values = {t.instance: t.values[:, [t.columns.index(c) for c in columns]] for t in tables}
    if not columns or sum(max(0, len(v) - NEWEST - SHORT) for v in values.values()) < LEAST_ROWS:
        return []
    detector = Detector.fit([v[:-NEWEST] for v in values.values()], FALSE_ALARMS_PER_DAY * span / 86400)
    current = [t for t in tables if t.times[-1] > seen.time - (NEWEST + 2) * span]
    judged = [_anomaly(t, values[t.instance], columns, detector) for t in current]
    return [a for a in judged if a is not None]


def _common(tables: list[Table]) -> list[str]:
    """Columns that all instances send."""
    return [c for c in tables[0].columns if all(c in t.columns for t in tables)] if tables else []


def _anomaly(seen: Table, values: FloatArray, columns: list[str], detector: Detector) -> Anomaly | None:
    parts = detector.parts(values)[-NEWEST:]
    # The calmer of each two neighbouring rows: what lasts one row only is a spike, not a state.
    scores = np.minimum(parts.sum(axis=1)[1:], parts.sum(axis=1)[:-1])
    worst = int(np.argmax(scores))
    if scores[worst] <= detector.threshold:
        return None
    row = parts[worst] + parts[worst + 1]
    causes = [Share(columns[i], float(row[i] / row.sum())) for i in np.argsort(-row)[:MOST_CAUSES]]
    score = float(scores[worst] / (scores[worst] + detector.threshold))
    named = ", ".join(f"{c.name} ({c.share:.0%})" for c in causes if c.share >= 0.1)
    text = f"{seen.instance} behaves unlike its past and its peers, by {named}"
    return Anomaly(seen.instance, float(seen.times[worst - NEWEST + 1]), score, tuple(causes), text)
