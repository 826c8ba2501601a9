"""Loops that numba compiles: softmaxes over compact tables, fitted and searched."""

from __future__ import annotations

from typing import Any

import numpy as np

from hierclf.nn._fast import compiled
from hierclf.nn._margin_loops import squared_norms  # noqa: F401, used where these loops are
from hierclf.nn._search_loops import _insert, _pop, _push

# Newton steps for the probabilities of one row at most. The last is one from where little is left,
# in itself or as a share of what was there at first.
_STEPS, _SMALL, _TINY, _LEFT = 15, 1e-2, 1e-3, 0.05
# Of the method that cannot fail.
_SURE_STEPS, _EXACT = 60, 1e-6
# An estimate of the gap is so many times as large as the gap, as a rule.
_NEAR = 3.0
# A row waits if it adds less than this share of its part of the gap that is allowed, and no more
# than so many passes.
_LITTLE, _LONGEST = 0.3, 7
# The logarithm of a probability is no less.
_LEAST = -80.0


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
def _shuffle(order: Any, state: Any) -> Any:
    """Bring numbers into another order; return the state of the generator."""
    for i in range(len(order) - 1, 0, -1):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        j = np.int64((state >> np.uint64(33)) % np.uint64(i + 1))
        order[i], order[j] = order[j], order[i]
    return state


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
def _solve_row(q: Any, a: Any, u: Any, v: Any) -> Any:
    """Find v = exp(u) on the simplex with u + a v = q less a constant, from where they are.

    Newton's method for u and the constant at once. Tell whether it has got there.
    """
    size = len(q)
    one, zero = q.dtype.type(1), q.dtype.type(0)
    total, first, is_there = zero, zero, False
    for j in range(size):
        total += v[j]
    for step in range(_STEPS):
        top, below = total - one, zero
        for j in range(size):
            share = v[j] / (one + a * v[j])
            top += share * (q[j] - u[j] - a * v[j])
            below += share
        mean = top / below
        left, excess = zero, total - one
        total = zero
        for j in range(size):
            change = (q[j] - u[j] - a * v[j] - mean) / (one + a * v[j])
            left += v[j] * (one + a * v[j]) * change * change
            u[j] = min(max(u[j] + change, q.dtype.type(_LEAST)), zero)
            v[j] = np.exp(u[j])
            total += v[j]
        left += a * excess * excess
        if step == 0:
            first = left
        # What is left is that before this step, which leaves next to nothing of it.
        if left <= q.dtype.type(_SMALL) and (step > 0 or left <= q.dtype.type(_TINY)):
            is_there = True
            break
        if step > 0 and left <= q.dtype.type(_LEFT) * first and left <= one:
            is_there = True
            break
    _normalize(u, v)
    return is_there


@compiled
def _solve_row_surely(q: Any, a: Any, u: Any, v: Any) -> None:
    """Do the same, slowly, by a method that cannot fail.

    The sum of v falls with the constant, and is convex in it, so that Newton's method approaches
    the root from below; for each constant, u does so from above.
    """
    size = len(q)
    one, zero = q.dtype.type(1), q.dtype.type(0)
    constant = q[0]
    for j in range(1, size):
        constant = max(constant, q[j])
    constant -= a
    for j in range(size):
        u[j] = min(q[j] - constant, zero)
    for _ in range(_SURE_STEPS):
        total, below = zero, zero
        for j in range(size):
            for _ in range(_SURE_STEPS):
                v[j] = np.exp(u[j])
                change = (q[j] - constant - u[j] - a * v[j]) / (one + a * v[j])
                u[j] = max(min(u[j] + change, zero), q.dtype.type(_LEAST))
                if abs(change) < _EXACT:
                    break
            v[j] = np.exp(u[j])
            total += v[j]
            below += v[j] / (one + a * v[j])
        if abs(total - one) < _EXACT:
            break
        constant += (total - one) / below
    _normalize(u, v)


@compiled
def _normalize(u: Any, v: Any) -> None:
    total = v[0]
    for j in range(1, len(v)):
        total += v[j]
    log_total, inverse = np.log(total), v.dtype.type(1) / total
    for j in range(len(v)):
        u[j] -= log_total
        v[j] *= inverse


@compiled
def fit_groups(
    groups: Any,
    indptr: Any,
    indices: Any,
    values: Any,
    norms: Any,
    cost: Any,
    first: Any,
    last: Any,
    starts: Any,
    sizes: Any,
    factor: Any,
    offsets: Any,
    features: Any,
    places: Any,
    weight: Any,
    bias: Any,
    tol: float,
    max_iter: int,
    n_iter: Any,
    gaps: Any,
) -> None:
    """Fit the softmax of each of some groups by dual ascent over its rows.

    The dual has a point of the simplex for each row: the probabilities p of the children. With
    them the weights are the sum of cost * (e_y - p) x' over the rows. A row's own best point
    solves p = softmax(logits without the row - cost * norm * p), by Newton's method for log p.
    The gap between primal and dual is the sum of cost * KL(p, softmax(logits)).

    Parameters
    ----------
    groups : ndarray
        Which groups.
    indptr, indices, values : ndarray
        The rows, in CSR format, those below a node next to each other.
    norms, cost : ndarray of shape (n_rows,)
        Their squared norms with a 1 for the bias, and the weights of their losses.
    first, last : ndarray of shape (n_nodes,)
        The rows at or below each node.
    starts, sizes : ndarray of shape (n_groups,)
        The nodes of each group.
    factor : ndarray of shape (n_nodes,)
        What the cost of the rows at or below a node is multiplied with in its group.
    offsets, features, places : ndarray
        The features of each group, in ascending order, and where the weights of each group start.
    weight, bias : ndarray
        Receive the results.
    tol : float
        The gap is at most this share of the objective.
    n_iter, gaps : ndarray of shape (n_groups,)
        Receive the number of passes, and the gap as a share of the objective.
    """
    dtype = values.dtype.type
    one, zero = dtype(1), dtype(0)
    n_features = 1 + features.max() if len(features) else 0
    local_of = np.empty(n_features, np.int32)
    for group in groups:
        size, start = sizes[group], starts[group]
        lo, hi = first[start], last[start + size - 1]
        n = hi - lo
        if size < 2 or n == 0:
            continue
        n_own = offsets[group + 1] - offsets[group]
        for i in range(n_own):
            local_of[features[offsets[group] + i]] = i
        base = indptr[lo]
        local = np.empty(indptr[hi] - base, np.int32)
        for place in range(len(local)):
            local[place] = local_of[indices[base + place]]
        w = weight[places[group] : places[group + 1]].reshape((n_own, size))
        b = bias[start : start + size]
        own = np.empty(n, np.int32)
        c = np.empty(n, values.dtype)
        for j in range(size):
            for row in range(first[start + j], last[start + j]):
                own[row - lo] = j
                c[row - lo] = cost[row] * factor[start + j]
        u = np.empty((n, size), values.dtype)
        p = np.zeros((n, size), values.dtype)
        for i in range(n):
            p[i, own[i]] = one
        z = np.empty(size, values.dtype)
        q = np.empty(size, values.dtype)
        v = np.empty(size, values.dtype)
        order = np.arange(n)
        state = np.uint64(group + 1)
        # A row that adds next to nothing to the gap waits for a pass, then two, and so on.
        waits, pause = np.zeros(n, np.int32), np.zeros(n, np.int32)
        passes, is_done, little = 0, False, 0.0
        while passes < max_iter and not is_done:
            state = _shuffle(order, state)
            gap, loss = 0.0, 0.0
            for at in range(n):
                i = order[at]
                if c[i] == 0:
                    continue
                if waits[i] > 0:
                    waits[i] -= 1
                    loss -= c[i] * u[i, own[i]]
                    continue
                begin, end = indptr[lo + i], indptr[lo + i + 1]
                for j in range(size):
                    z[j] = b[j]
                for place in range(begin, end):
                    line, value = w[local[place - base]], values[place]
                    for j in range(size):
                        z[j] += value * line[j]
                a = c[i] * norms[lo + i]
                target = own[i]
                ui, pi = u[i], p[i]
                if passes == 0:
                    total = _log_sum(z)
                    for j in range(size):
                        q[j] = z[j]
                        ui[j] = max(z[j] - total, dtype(_LEAST))
                        v[j] = np.exp(ui[j])
                    q[target] += a
                    gap += c[i] * (total - z[target])
                else:
                    mean, square = zero, zero
                    for j in range(size):
                        r = z[j] - ui[j]
                        mean += pi[j] * r
                        v[j] = pi[j]
                        q[j] = z[j] + a * pi[j]
                    for j in range(size):
                        r = z[j] - ui[j] - mean
                        square += pi[j] * r * r
                    of_row = c[i] * square / 2
                    gap += of_row
                    if of_row < little:
                        pause[i] = min(2 * pause[i] + 1, _LONGEST)
                        waits[i] = pause[i]
                        loss -= c[i] * ui[target]
                        continue
                    pause[i] = 0
                if not _solve_row(q, a, ui, v):
                    _solve_row_surely(q, a, ui, v)
                loss -= c[i] * ui[target]
                for j in range(size):
                    z[j] = c[i] * (pi[j] - v[j])
                    pi[j] = v[j]
                    b[j] += z[j]
                for place in range(begin, end):
                    line, value = w[local[place - base]], values[place]
                    for j in range(size):
                        line[j] += value * z[j]
            passes += 1
            penalty = 0.0
            for i in range(n_own):
                for j in range(size):
                    penalty += w[i, j] * w[i, j]
            for j in range(size):
                penalty += b[j] * b[j]
            little = _LITTLE * tol * (loss + penalty / 2) / n
            if gap > _NEAR * tol * (loss + penalty / 2) and passes < max_iter:
                continue
            gap, loss = 0.0, penalty / 2
            for i in range(n):
                if c[i] == 0:
                    continue
                for j in range(size):
                    z[j] = b[j]
                for place in range(indptr[lo + i], indptr[lo + i + 1]):
                    line, value = w[local[place - base]], values[place]
                    for j in range(size):
                        z[j] += value * line[j]
                total = _log_sum(z)
                loss += c[i] * (total - z[own[i]])
                for j in range(size):
                    gap += c[i] * p[i, j] * (u[i, j] - z[j] + total)
            is_done = gap <= tol * loss
            waits[:] = 0
            gaps[group] = gap / max(loss, 1e-30)
        n_iter[group] = passes


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
