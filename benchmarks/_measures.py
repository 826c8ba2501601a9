"""How good predictions are, in the measures that all benchmarks report."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import StratifiedKFold

from hierclf import Hierarchy
from hierclf.metrics import level_accuracy_score

MEASURES = ("macro-F1", "precision", "recall", "accuracy", "top accuracy", "distance")


def measure(hierarchy: Hierarchy, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """Score predicted leaves.

    Precision and recall are macro-averages as F1 is; "top accuracy" looks at the ancestors on
    the top level; "distance" is the mean number of edges between a mistake and the truth.
    """
    macro = {"average": "macro", "zero_division": 0}
    wrong = y_true != y_pred
    mistakes = (hierarchy.node_indices(y[wrong]) for y in (y_true, y_pred))
    distances = hierarchy.pair_distances(*mistakes)
    return {
        "macro-F1": float(f1_score(y_true, y_pred, **macro)),
        "precision": float(precision_score(y_true, y_pred, **macro)),
        "recall": float(recall_score(y_true, y_pred, **macro)),
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "top accuracy": level_accuracy_score(y_true, y_pred, hierarchy=hierarchy, level=0),
        "distance": float(distances.mean()) if wrong.any() else 0.0,
    }


def folds(y: np.ndarray, n_splits: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split rows for cross-validation; classes with fewer rows than folds stay in training."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    is_frequent = counts[codes] >= n_splits
    rows, others = np.flatnonzero(is_frequent), np.flatnonzero(~is_frequent)
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    for train, valid in splitter.split(rows, y[rows]):
        yield np.concatenate([rows[train], others]), rows[valid]
