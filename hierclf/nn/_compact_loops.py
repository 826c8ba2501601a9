"""Loops that numba compiles: margins over compact tables, solved and searched."""

from __future__ import annotations

from typing import Any

import numpy as np

from hierclf.nn._fast import compiled
from hierclf.nn._margin_loops import (
    invert,
    margins_of_row,
    solve_block,
    squared_norms,  # noqa: F401, used where these loops are
)
from hierclf.nn._margin_solvers import BLOCK, ROUGHLY
from hierclf.nn._search_loops import _insert, _pop, _push

# The processor takes so many nodes at once.
_LANES = 8


@compiled
def count_features(
    indptr: Any, indices: Any, first: Any, last: Any, n_features: int, counts: Any
) -> None:
    """Count the features that occur in each run of rows."""
    seen = np.full(n_features, -1, np.int64)
    for group in range(len(first)):
        for place in range(indptr[first[group]], indptr[last[group]]):
            feature = indices[place]
            if seen[feature] != group:
                seen[feature] = group
                counts[group] += 1


@compiled
def list_features(
    indptr: Any, indices: Any, first: Any, last: Any, n_features: int, offsets: Any, features: Any
) -> None:
    """Write the features that occur in each run of rows, in ascending order."""
    seen = np.full(n_features, -1, np.int64)
    for group in range(len(first)):
        n = offsets[group]
        for place in range(indptr[first[group]], indptr[last[group]]):
            feature = indices[place]
            if seen[feature] != group:
                seen[feature] = group
                features[n] = feature
                n += 1
        features[offsets[group] : n].sort()


@compiled
def _log_sum(values: Any) -> Any:
    largest = values[0]
    for j in range(1, len(values)):
        largest = max(largest, values[j])
    total = values.dtype.type(0)
    for j in range(len(values)):
        total += np.exp(values[j] - largest)
    return largest + np.log(total)


@compiled
def fit_groups(
    groups: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    norms: Any,
    negative: Any,
    positive: Any,
    first: Any,
    last: Any,
    starts: Any,
    sizes: Any,
    negative_factor: Any,
    positive_factor: Any,
    offsets: Any,
    features: Any,
    places: Any,
    weight: Any,
    bias: Any,
    is_asked: Any,
    asked_places: Any,
    asked_margins: Any,
    tol: float,
    max_iter: int,
    n_iter: Any,
    is_solved: Any,
) -> None:
    """Solve the margins of each of some groups, a block of nodes at a time.

    Parameters
    ----------
    groups : ndarray
        Which groups.
    indptr, indices, values : ndarray
        The rows, in CSR format, those below a node next to each other.
    norms : ndarray of shape (n_rows,)
        Their squared norms with a 1 for the bias.
    negative, positive : ndarray of shape (n_rows,)
        The weights of their losses on the negative side, and on the positive one.
    first, last : ndarray of shape (n_nodes,)
        The rows at or below each node.
    starts, sizes : ndarray of shape (n_groups,)
        The nodes of each group.
    negative_factor, positive_factor : ndarray of shape (n_nodes,)
        What these weights are multiplied with in the margin of each node.
    offsets, features, places : ndarray
        The features of each group, in ascending order, and where the weights of each group start.
    weight, bias : ndarray
        Receive the results.
    is_asked : ndarray of shape (n_rows,), bool
        Rows to score without them.
    asked_places, asked_margins : ndarray
        Where the margins of these rows start for each group, and the margins.
    tol : float
        The gap of a margin is at most this share of its objective.
    max_iter : int
        Passes at most.
    n_iter, is_solved : ndarray of shape (n_groups,)
        Receive the number of passes, and False for groups that are not solved.
    """
    one = values.dtype.type(1)
    n_features = 1 + features.max() if len(features) else 0
    local_of = np.empty(n_features, np.int32)
    for group in groups:
        size, start = sizes[group], starts[group]
        lo, hi = first[start], last[start + size - 1]
        n_own = offsets[group + 1] - offsets[group]
        for i in range(n_own):
            local_of[features[offsets[group] + i]] = i
        own_indptr = indptr[lo : hi + 1] - indptr[lo]
        own_values = values[indptr[lo] : indptr[hi]]
        local = np.empty(len(own_values), np.int32)
        for place in range(len(local)):
            local[place] = local_of[indices[indptr[lo] + place]]
        table = weight[places[group] : places[group + 1]].reshape((n_own, size))
        asked = np.flatnonzero(is_asked[lo:hi])
        margins = asked_margins[asked_places[group] : asked_places[group + 1]]
        for left in range(0, size, BLOCK):
            n_columns = min(BLOCK, size - left)
            # Columns of no weight fill the last lanes of the processor.
            width = -(-n_columns // _LANES) * _LANES
            sides = np.zeros((hi - lo, width), values.dtype)
            for j in range(size):
                node = start + j
                for i in range(first[node], last[node]):
                    for k in range(n_columns):
                        sides[i - lo, k] = -negative[i] * negative_factor[start + left + k]
                    if left <= j < left + n_columns:
                        sides[i - lo, j - left] = positive[i] * positive_factor[node]
            invert(sides)
            dual = np.zeros((hi - lo, width), values.dtype)
            w = np.zeros((n_own, width), values.dtype)
            b = np.full(width, -one)
            passes, gap = solve_block(
                own_indptr, local, own_values, norms[lo:hi], sides, w, b, dual, tol, max_iter
            )
            n_iter[group] = max(n_iter[group], passes)
            is_solved[group] &= gap <= tol
            for j in range(n_columns):
                bias[start + left + j] = b[j]
            for i in range(n_own):
                for j in range(n_columns):
                    table[i, left + j] = w[i, j]
            if len(asked) == 0:
                continue
            for row in asked:
                sides[row] = 0
                for j in range(width):
                    b[j] -= dual[row, j]
                for place in range(own_indptr[row], own_indptr[row + 1]):
                    for j in range(width):
                        w[local[place], j] -= own_values[place] * dual[row, j]
                dual[row] = 0
            solve_block(
                own_indptr, local, own_values, norms[lo:hi], sides, w, b, dual, ROUGHLY * tol,
                max_iter,
            )  # fmt: skip
            for at in range(len(asked)):
                found = margins[at * size + left : at * size + left + n_columns]
                margins_of_row(own_indptr, local, own_values, asked[at], w, b, found)


@compiled
def _open(
    group: int,
    row_features: Any,
    row_values: Any,
    starts: Any,
    sizes: Any,
    offsets: Any,
    features: Any,
    places: Any,
    weight: Any,
    bias: Any,
    out: Any,
) -> None:
    """Write log P(child | parent) of a group for a row, whose features are in ascending order."""
    start, size = starts[group], sizes[group]
    for j in range(size):
        out[j] = bias[start + j]
    low, last, base = offsets[group], offsets[group + 1], places[group]
    first = low
    for i in range(len(row_features)):
        feature = row_features[i]
        high = last
        while low < high:
            middle = (low + high) >> 1
            if features[middle] < feature:
                low = middle + 1
            else:
                high = middle
        if low == last:
            break
        if features[low] == feature:
            at, value = base + (low - first) * size, row_values[i]
            for j in range(size):
                out[j] += value * weight[at + j]
    total = _log_sum(out[:size])
    for j in range(size):
        out[j] -= total


@compiled
def search(
    indptr: Any,
    indices: Any,
    row_values: Any,
    starts: Any,
    sizes: Any,
    ends: Any,
    offsets: Any,
    features: Any,
    places: Any,
    weight: Any,
    bias: Any,
    top: int,
    leaves: Any,
    log_proba: Any,
    is_exact: Any,
    limit: int,
    widest: int,
) -> None:
    """Find the likeliest leaves of each row, by a heap of the nodes that wait to be opened.

    ``leaves``, ``log_proba`` and ``is_exact`` receive the results; see
    :class:`hierclf.nn._search.TreeSearch`.
    """
    k = leaves.shape[1]
    values = np.empty(limit + 2 * widest, log_proba.dtype)
    groups = np.empty(limit + 2 * widest, np.int64)
    steps = np.empty(widest, log_proba.dtype)
    for row in range(len(indptr) - 1):
        best, found = log_proba[row], leaves[row]
        best[:] = -np.inf
        begin, end = indptr[row], indptr[row + 1]
        own_features, own_values = indices[begin:end], row_values[begin:end]
        values[0], groups[0] = 0, top
        n, n_read, is_nan = 1, 0, False
        while n > 0 and values[0] > best[k - 1] and n_read <= limit and not is_nan:
            above, group = values[0], groups[0]
            _pop(values, groups, n)
            n -= 1
            _open(
                group, own_features, own_values, starts, sizes, offsets, features, places, weight,
                bias, steps,
            )  # fmt: skip
            start, size = starts[group], sizes[group]
            n_read += size
            for j in range(size):
                value = above + steps[j]
                below = ends[start + j]
                if not value > best[k - 1]:
                    is_nan |= value != value
                elif below < 0:
                    _insert(best, found, value, -1 - below)
                else:
                    _push(values, groups, n, value, below)
                    n += 1
        is_over = n == 0 or values[0] <= best[k - 1]
        is_exact[row] = is_over and best[k - 1] > -np.inf and not is_nan
