"""Dual coordinate descent as loops that numba compiles.

The rows are in CSR format. No indices at all are dense rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hierclf.nn._fast import compiled

# The gap of a pass, as the rows were when their turn came, is some times as large as after it.
_NEAR = 3.0
# A row waits if it adds less than this share of its part of the gap that is allowed, and no more
# than so many passes.
_LITTLE, _LONGEST = 0.3, 7
# A column whose gap is less than this share of what is allowed has no say in which rows wait.
_SOLVED = 0.2
# The inverse of a weight is at most, and its inverse at least: beyond, float32 has no room.
_EXTREME = 1e30
# No divisor is less.
_TINY = 1e-30


@compiled
def _feature_at(indices: Any, place: int, start: int) -> Any:
    """Return the feature of a value, whose row starts at ``start``."""
    return indices[place] if len(indices) else place - start


@compiled
def squared_norms(indptr: Any, indices: Any, values: Any, n_features: int) -> Any:
    """Return the squared norm of each row, in which a feature may occur several times."""
    norms = np.zeros(len(indptr) - 1, values.dtype)
    sums = np.zeros(n_features, values.dtype)
    for row in range(len(norms)):
        start, stop = indptr[row], indptr[row + 1]
        for place in range(start, stop):
            sums[_feature_at(indices, place, start)] += values[place]
        for place in range(start, stop):
            feature = _feature_at(indices, place, start)
            norms[row] += sums[feature] * sums[feature]
            sums[feature] = 0
    return norms


@compiled
def invert(sides: Any) -> None:
    """Turn sides, 1 or -1 times the weight of a loss, into sides by twice the weight."""
    for row in range(sides.shape[0]):
        for j in range(sides.shape[1]):
            weight = abs(2 * sides[row, j])
            if weight > 0:
                size = min(max(1 / weight, 1 / _EXTREME), _EXTREME)
                sides[row, j] = size if sides[row, j] > 0 else -size


@compiled
def solve_block(
    indptr: Any,
    indices: Any,
    values: Any,
    norms: Any,
    sides: Any,
    weight: Any,
    bias: Any,
    dual: Any,
    tol: float,
    max_iter: int,
) -> Any:
    """Solve all columns of a block by dual coordinate descent, from where they are.

    The columns are neighbours in memory, so that the processor works on several at a time: what
    there is to read of a row serves them all. The order of the rows is new in each pass, and the
    same in each call.

    Parameters
    ----------
    indptr, indices, values : ndarray
        The rows, in CSR format.
    norms : ndarray of shape (n_rows,)
        Their squared norms, with a 1 for the bias.
    sides : ndarray of shape (n_rows, n_columns)
        What :func:`invert` makes of them; 0 where a row does not count.
    weight, bias, dual : ndarray of shape (n_features, n_columns), (n_columns,), (n_rows, n_columns)
        What is moved. The weights are the sum of the rows times ``dual``.
    tol : float
        The gap of each column is at most this share of its objective.
    max_iter : int
        Passes at most.

    Returns
    -------
    tuple of int and float
        How many passes, and the largest gap as a share of the objective, or more than that where
        it is far from the tolerance.
    """
    n_rows, n_columns = sides.shape
    order = np.arange(n_rows)
    state = np.uint64(1)
    # A row that adds next to nothing to the gap waits for a pass, then three, then seven.
    waits, pause = np.zeros(n_rows, np.int8), np.zeros(n_rows, np.int8)
    gaps, losses = np.empty(n_columns), np.empty(n_columns)
    little = np.zeros(n_columns, weight.dtype)
    n_iter, worst, near = 0, np.inf, _NEAR
    while n_iter < max_iter and not worst <= tol:
        state = _shuffle(order, state)
        # What waits adds nothing to the losses: the share of the gap is no less than it seems.
        _pass_over_rows(
            indptr, indices, values, norms, sides, order, weight, bias, dual, waits, pause, little,
            gaps, losses,
        )  # fmt: skip
        n_iter += 1
        worst = _compare(weight, bias, gaps, losses, tol, n_rows, little)
        if worst <= near * tol:
            before = worst
            # Where all gaps are little nothing moves: this adds them up as they are.
            waits[:], little[:] = 0, np.inf
            _pass_over_rows(
                indptr, indices, values, norms, sides, order, weight, bias, dual, waits, pause,
                little, gaps, losses,
            )  # fmt: skip
            worst = _compare(weight, bias, gaps, losses, tol, n_rows, little)
            waits[:] = 0
            near = max(before / max(worst, _TINY), 1.0)
    return n_iter, worst


@compiled
def _shuffle(order: Any, state: Any) -> Any:
    """Bring numbers into another order; return the state of the generator."""
    for i in range(len(order) - 1, 0, -1):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        j = np.int64((state >> np.uint64(33)) % np.uint64(i + 1))
        order[i], order[j] = order[j], order[i]
    return state


@compiled
def _pass_over_rows(
    indptr: Any,
    indices: Any,
    values: Any,
    norms: Any,
    sides: Any,
    order: Any,
    weight: Any,
    bias: Any,
    dual: Any,
    waits: Any,
    pause: Any,
    little: Any,
    gaps: Any,
    losses: Any,
) -> None:
    """Minimise the loss of all columns over one row after another.

    A row whose gap is ``little`` in all columns moves nothing, and waits. ``gaps`` and ``losses``
    receive the sums over the rows, as they were when their turn came, both twice as large.
    """
    n_columns = weight.shape[1]
    dtype = weight.dtype.type
    one, zero, tiny = dtype(1), dtype(0), dtype(_TINY)
    found = np.empty(n_columns, weight.dtype)
    gaps[:], losses[:] = 0, 0
    for at in range(len(order)):
        row = order[at]
        if waits[row] > 0:
            waits[row] -= 1
            continue
        margins_of_row(indptr, indices, values, row, weight, bias, found)
        norm = norms[row]
        is_little = True
        for j in range(n_columns):
            side = sides[row, j]
            sign = one if side > 0 else -one
            ridge = sign * side
            before = sign * dual[row, j]
            miss = one - sign * found[j]
            slack = max(miss, zero) if side != 0 else zero
            left = slack - ridge * before
            inverse = one / max(ridge, tiny)
            gap = left * left * inverse + 2 * before * (slack - miss)
            is_little &= gap <= little[j]
            gaps[j] += gap
            losses[j] += slack * slack * inverse
            slope = ridge * before - miss
            after = max(before - slope / (norm + ridge), zero) if side != 0 else zero
            found[j] = sign * (after - before)
        if is_little:
            pause[row] = min(2 * pause[row] + 1, _LONGEST)
            waits[row] = pause[row]
            continue
        pause[row] = 0
        for j in range(n_columns):
            dual[row, j] += found[j]
            bias[j] += found[j]
        start = indptr[row]
        for place in range(start, indptr[row + 1]):
            feature, value = _feature_at(indices, place, start), values[place]
            for j in range(n_columns):
                weight[feature, j] += value * found[j]


@compiled
def margins_of_row(
    indptr: Any, indices: Any, values: Any, row: int, weight: Any, bias: Any, out: Any
) -> None:
    """Write the margins of a row, for as many columns as there is room."""
    n_columns = len(out)
    for j in range(n_columns):
        out[j] = bias[j]
    start = indptr[row]
    for place in range(start, indptr[row + 1]):
        feature, value = _feature_at(indices, place, start), values[place]
        for j in range(n_columns):
            out[j] += value * weight[feature, j]


@compiled
def _compare(
    weight: Any, bias: Any, gaps: Any, losses: Any, tol: float, n_rows: int, little: Any
) -> Any:
    """Return the largest gap as a share of the objective, and write the gap that is little."""
    n_columns = len(bias)
    twice = np.empty(n_columns)
    for j in range(n_columns):
        twice[j] = losses[j] + (bias[j] + bias.dtype.type(1)) ** 2
    for i in range(len(weight)):
        for j in range(n_columns):
            twice[j] += weight[i, j] * weight[i, j]
    worst = 0.0
    for j in range(n_columns):
        # Where nothing counts, both are 0.
        gap = gaps[j] / max(twice[j], _TINY)
        little[j] = np.inf if gap <= _SOLVED * tol else _LITTLE * tol / max(n_rows, 1) * twice[j]
        worst = max(worst, gap)
    return worst
