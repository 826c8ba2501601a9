"""Samples held out of training, each class in proportion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_holdout(
    target: NDArray[np.intp], fraction: float, rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split rows in two, each class in proportion and none missing from the first.

    Unlike scikit-learn's stratified splits it takes classes of a single row, which
    stay in the first part.

    Parameters
    ----------
    target : ndarray of shape (n_rows,)
        Class of each row.
    fraction : float
        Share of the rows that the second part gets, at least one row; less where
        there are not enough classes of two rows or more.
    rng : RandomState
        Chooses the rows.

    Returns
    -------
    train, valid : ndarray
        Sorted row numbers. ``valid`` is empty if no class has two rows.
    """
    shuffled = rng.permutation(len(target))
    by_class = shuffled[np.argsort(target[shuffled], kind="stable")]
    _, starts, counts = np.unique(target[by_class], return_index=True, return_counts=True)
    size = np.repeat(counts, counts)
    rank = np.arange(len(target)) - np.repeat(starts, counts)
    # Taking rows by rank / size from all classes at once takes each in proportion.
    quantile = np.where(rank < size - 1, (rank + 0.5) / size, np.inf)
    n_valid = min(max(1, round(fraction * len(target))), int(np.isfinite(quantile).sum()))
    chosen = np.argsort(quantile, kind="stable")[:n_valid]
    is_valid = np.zeros(len(target), dtype=bool)
    is_valid[by_class[chosen]] = True
    return np.flatnonzero(~is_valid), np.flatnonzero(is_valid)
