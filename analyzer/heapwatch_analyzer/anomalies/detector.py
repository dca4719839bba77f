"""A multivariate detector that learns what is usual without labels.

Each metric is seen at three scales: as it is, as its mean over SHORT rows, and as its distance from its mean
over LONG rows. Columns are centred on their median and scaled by their spread. How metrics move together is
modelled by probabilistic principal components that carry EXPLAINED of the variance (Tipping and Bishop 1999);
the score of a row is its squared Mahalanobis distance under that model. Rows are whitened by the symmetric
root of the precision matrix, which stays closest to the metrics' own axes (Kessy and others 2018), so that
the squares that add up to the score each belong to a metric.

The threshold needs no label: each fifth of the rows is scored by components fitted on the others, and a
generalized Pareto tail fitted to the largest of these scores says which is exceeded once in `1 / risk` rows
(peaks over threshold; Siffer and others 2017), with moments in place of maximum likelihood (Hosking and
Wallis 1987). The median of the fifths is taken: they are stretches of time, so what drifts from one to the
next counts as usual, but an anomaly in the past raises only its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.decomposition import PCA

from ..observations import FloatArray

SHORT = 10
LONG = 60
SCALES = 3
EXPLAINED = 0.9
RIDGE = 1e-3
"""Variance added to each column: what never moved has moved by a little, not by infinitely much."""
CLIP = 20.0
"""Spreads at which a value counts no further: one mad metric must not hide the others."""
FOLDS = 5
FLAT = 0.05
"""Part of a column's range under which its spread isn't taken: a metric that rests mostly is not frozen."""
TAIL = 0.98
LEAST_ROWS = 80


@dataclass(frozen=True)
class Detector:
    """A fitted detector; make one with `fit`. `threshold` is the score from which a row is strange."""

    centre: FloatArray
    spread: FloatArray
    mean: FloatArray
    whitening: FloatArray
    threshold: float = 0.0

    @classmethod
    def fit(cls, tables: list[FloatArray], risk: float) -> Detector:
        """Learn from `tables`, one per instance, rows in order of time and one column per metric.

        The threshold is exceeded in a share `risk` of usual rows. Needs LEAST_ROWS rows in all,
        after the first SHORT of each.
        """
        # The first rows have no past to be averaged with; they would teach that means are as noisy as rows.
        rows = np.concatenate([_views(table)[SHORT:] for table in tables])
        parts = np.array_split(np.arange(len(rows)), FOLDS)
        usual = [cls._learn(np.delete(rows, part, axis=0))._squares(rows[part]).sum(axis=1) for part in parts]
        threshold = float(np.median([exceeded_once(scores, risk) for scores in usual]))
        return replace(cls._learn(rows), threshold=threshold)

    @classmethod
    def _learn(cls, rows: FloatArray) -> Detector:
        centre, spread = _location(rows)
        standard = _standard(rows, centre, spread)
        return cls(centre, spread, standard.mean(axis=0), _whitening(standard))

    def parts(self, table: FloatArray) -> FloatArray:
        """What each metric adds to the score of each row: (rows, metrics); a row's score is their sum."""
        by_metric: FloatArray = self._squares(_views(table)).reshape(len(table), SCALES, -1).sum(axis=1)
        return by_metric

    def _squares(self, rows: FloatArray) -> FloatArray:
        standard = _standard(rows, self.centre, self.spread)
        squares: FloatArray = ((standard - self.mean) @ self.whitening) ** 2
        return squares


def _whitening(standard: FloatArray) -> FloatArray:
    """Symmetric root of the precision matrix of the rows, from their principal components."""
    ridge = RIDGE * np.eye(standard.shape[1])
    if np.ptp(standard, axis=0).max() == 0:
        covariance = ridge
    else:
        covariance = PCA(EXPLAINED, svd_solver="full").fit(standard).get_covariance() + ridge
    variances, axes = np.linalg.eigh(covariance)
    root: FloatArray = (axes / np.sqrt(variances)) @ axes.T
    return root


def exceeded_once(scores: FloatArray, risk: float) -> float:
    """The value that a share `risk` of such `scores` exceed, by a Pareto tail over their TAIL quantile."""
    base = float(np.quantile(scores, TAIL))
    excess = scores[scores > base] - base
    if len(excess) < 2 or np.ptp(excess) == 0:
        return max(float(scores.max()), 1e-9)
    mean, variance = float(excess.mean()), float(excess.var(ddof=1))
    shape = 0.5 * (1 - mean**2 / variance)
    scale = 0.5 * mean * (mean**2 / variance + 1)
    ratio = min(1.0, risk * len(scores) / len(excess))
    reach = -scale * np.log(ratio) if abs(shape) < 1e-6 else scale / shape * (ratio**-shape - 1)
    return max(base + float(reach), 1e-9)


def _views(table: FloatArray) -> FloatArray:
    """The three scales side by side: (rows, SCALES * metrics)."""
    return np.hstack([table, _rolling_mean(table, SHORT), table - _rolling_mean(table, LONG)])


def _rolling_mean(table: FloatArray, rows: int) -> FloatArray:
    """Mean of each column over the newest `rows` rows at each row, of fewer at the start."""
    total = np.vstack([np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)])
    end = np.arange(1, len(table) + 1)
    start = np.maximum(0, end - rows)
    mean: FloatArray = (total[end] - total[start]) / (end - start)[:, None]
    return mean


def _location(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Median and spread of each column: quartile distance, if it isn't small beside deviation and range."""
    low, centre, high = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)
    floors = [0.3 * rows.std(axis=0), FLAT * np.ptp(rows, axis=0), 1e-3 * np.maximum(np.abs(centre), 1e-9)]
    return centre, np.maximum.reduce([high - low, *floors])


def _standard(rows: FloatArray, centre: FloatArray, spread: FloatArray) -> FloatArray:
    return np.clip((rows - centre) / spread, -CLIP, CLIP)
