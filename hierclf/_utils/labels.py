"""Labels of any kind, as a user may pass them: told apart, and compared with predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from hierclf.hierarchy._nodes import as_labels, plain_array
from hierclf.hierarchy._readers import clean_path, iter_rows

# What a path may be, where y is a list of paths.
SEQUENCES = (list, tuple, np.ndarray)


def objects_of(y: Any) -> Any:
    """Return y if its items may be of any type, else nothing."""
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    is_flat = getattr(y, "ndim", 1) == 1
    return y if is_flat and (isinstance(y, (list, tuple)) or kind == "O") else ()


def accuracy(y: Any, predicted: NDArray[Any], sample_weight: Any) -> float:
    """Return the share of rows whose label, or whole path, is right.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_levels), or list of lists
        True labels or paths, as they may be given to ``fit``.
    predicted : ndarray of shape (n_rows,) or (n_rows, n_levels)
        What ``predict`` returned.
    sample_weight : array-like of shape (n_rows,) or None
        Weights.

    Returns
    -------
    float
        In [0, 1].
    """
    if predicted.ndim == 2:
        true, found = (
            [tuple(clean_path(row, i)) for i, row in iter_rows(rows)] for rows in (y, predicted)
        )
    elif not _are_comparable(y, predicted):
        true, found = as_labels(y), as_labels(predicted)
    else:
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
    check_consistent_length(true, found)
    right = [label == other for label, other in zip(true, found, strict=True)]
    return float(accuracy_score(np.ones(len(right)), right, sample_weight=sample_weight))


def _are_comparable(y: Any, predicted: NDArray[Any]) -> bool:
    """Tell whether scikit-learn would compare two lists of labels: it wants one type."""
    rows = objects_of(y)
    kinds = {plain_array(rows).dtype.kind if len(rows) else np.asarray(y).dtype.kind}
    kinds.add(predicted.dtype.kind)
    return "O" not in kinds and len({"text" if kind in "US" else "other" for kind in kinds}) == 1
