"""Which nodes are on a level, and what the classes at or below it add up to."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy._arrays import HierarchyArrays

# Values summed at a time: few enough to stay in the cache between reordering and summing.
BLOCK = 2**17


def level_number(arrays: HierarchyArrays, level: int | str) -> int:
    """Return a level counted from the top, or raise if there is none."""
    n = arrays.n_levels
    try:
        if isinstance(level, (bool, np.bool_)):
            raise TypeError
        k = {"leaf": -1, "parent": -2}[level] if isinstance(level, str) else index(level)
    except (KeyError, TypeError):
        raise ValueError(f'level must be an integer, "leaf" or "parent", got {level!r}') from None
    if not -n <= k < n:
        raise ValueError(
            f"there is no level {level!r}: the levels are 0 to {n - 1}, from the top, "
            f"or -1 to {-n}, from the leaves"
        )
    if k % n != n - 1 and not arrays.is_tree:
        raise ValueError(
            f"level {level!r} is not defined in a DAG, where a node may be on several; "
            'only the leaves are ("leaf" or -1)'
        )
    return k % n


def level_indices(arrays: HierarchyArrays, level: int | str) -> NDArray[np.intp]:
    """Return the positions of the nodes of a level, in node order."""
    k = level_number(arrays, level)
    leaves = arrays.leaf_indices
    if k == arrays.n_levels - 1:
        return leaves
    # Nodes come level by level, so those of a level are a slice, and leaves above it come before.
    start, stop = arrays.depth_offsets[k], arrays.depth_offsets[k + 1]
    nodes, n_above = np.arange(start, stop), leaves.searchsorted(start)
    return np.append(leaves[:n_above], nodes) if n_above else nodes


def sum_columns(
    proba: NDArray[Any],
    columns: NDArray[np.intp],
    targets: NDArray[np.intp],
    n_targets: int,
) -> NDArray[Any]:
    """Add columns of probabilities up to others.

    Parameters
    ----------
    proba : ndarray of shape (n, n_columns)
        The probabilities.
    columns, targets : ndarray of shape (n_pairs,), dtype intp
        Column ``columns[i]`` is a part of ``targets[i]``.
    n_targets : int
        The number of columns of the result.

    Returns
    -------
    ndarray of shape (n, n_targets)
        In the dtype of `proba`; 0 for what has no part.
    """
    result = np.zeros((len(proba), n_targets), dtype=proba.dtype)
    if not len(columns):
        return result
    order = np.argsort(targets, kind="stable")
    columns, targets = columns[order], targets[order]
    in_order = np.array_equal(columns, np.arange(proba.shape[1]))
    starts = np.flatnonzero(np.diff(targets, prepend=-1))
    step = max(1, BLOCK // len(columns))
    for row in range(0, len(proba), step):
        block = proba[row : row + step]
        if not in_order:
            block = np.take(block, columns, axis=1)
        if len(starts) < len(columns):
            block = np.add.reduceat(block, starts, axis=1)
        result[row : row + step, targets[starts]] = block
    return result
