"""Dual coordinate descent over sparse rows as loops that numba compiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from hierclf.nn._fast import compiled


@compiled
def squared_norms(indptr: Any, indices: Any, values: Any, n_features: int) -> Any:
    """Return the squared norm of each row, in which a feature may occur several times."""
    norms = np.zeros(len(indptr) - 1, values.dtype)
    sums = np.zeros(n_features, values.dtype)
    for row in range(len(norms)):
        start, stop = indptr[row], indptr[row + 1]
        for place in range(start, stop):
            sums[indices[place]] += values[place]
        for place in range(start, stop):
            feature = indices[place]
            norms[row] += sums[feature] * sums[feature]
            sums[feature] = 0
    return norms


@compiled
def pass_over_rows(
    indptr: Any,
    indices: Any,
    values: Any,
    norms: Any,
    sides: Any,
    order: Any,
    weight: Any,
    bias: Any,
    dual: Any,
    gains: Any,
    losses: Any,
) -> None:
    """Minimise the loss of all columns of a block over one row after another.

    The columns are neighbours in memory, so that the processor works on several at a time: what
    there is to read of a row serves them all.

    Parameters
    ----------
    indptr, indices, values : ndarray
        The rows, in CSR format.
    norms : ndarray of shape (n_rows,)
        Their squared norms, with a 1 for the bias.
    sides : ndarray of shape (n_rows, n_columns)
        The side of each row, 1 or -1, divided by twice the weight of its loss; 0 where it has none.
    order : ndarray of shape (n_rows,)
        The order of the rows.
    weight, bias, dual : ndarray of shape (n_features, n_columns), (n_columns,), (n_rows, n_columns)
        What is moved.
    gains : ndarray of shape (n_columns,)
        What the pass has added to the dual objective of each column is added to it.
    losses : ndarray of shape (n_columns,)
        The loss of each row, as it was when its turn came, is added to it.
    """
    n_columns = weight.shape[1]
    one = norms.dtype.type(1)
    zero = norms.dtype.type(0)
    tiny = norms.dtype.type(1e-30)
    found = np.empty(n_columns, weight.dtype)
    for at in range(len(order)):
        row = order[at]
        start, stop = indptr[row], indptr[row + 1]
        for j in range(n_columns):
            found[j] = bias[j]
        for place in range(start, stop):
            feature, value = indices[place], values[place]
            for j in range(n_columns):
                found[j] += value * weight[feature, j]
        norm = norms[row]
        largest = zero
        for j in range(n_columns):
            side = sides[row, j]
            sign = one if side > 0 else -one
            ridge = sign * side
            before = sign * dual[row, j]
            slope = sign * found[j] - one + ridge * before
            curve = norm + ridge
            slack = max(one - sign * found[j], zero) if side != 0 else zero
            losses[j] += slack * slack / max(ridge, tiny)
            after = max(before - slope / curve, zero) if side != 0 else zero
            step = after - before
            gains[j] -= step * (slope + step * curve / 2)
            dual[row, j] = sign * after
            found[j] = sign * step
            largest = max(largest, abs(step))
        if largest > 0:
            for j in range(n_columns):
                bias[j] += found[j]
            for place in range(start, stop):
                feature, value = indices[place], values[place]
                for j in range(n_columns):
                    weight[feature, j] += value * found[j]
