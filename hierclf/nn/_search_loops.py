"""Loops that numba compiles: the search for the likeliest leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.nn._fast import compiled

_Floats = NDArray[Any]
_Ints = NDArray[np.int64]


@compiled
def _push(values: _Floats, groups: _Ints, n: int, value: float, group: int) -> None:
    """Put a node on a heap of n nodes, the likeliest on top."""
    place = n
    while place > 0:
        above = (place - 1) >> 1
        if values[above] >= value:
            break
        values[place], groups[place] = values[above], groups[above]
        place = above
    values[place], groups[place] = value, group


@compiled
def _pop(values: _Floats, groups: _Ints, n: int) -> None:
    """Take the top off a heap of n nodes."""
    value, group = values[n - 1], groups[n - 1]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= n - 1:
            break
        if below + 1 < n - 1 and values[below + 1] > values[below]:
            below += 1
        if values[below] <= value:
            break
        values[place], groups[place] = values[below], groups[below]
        place = below
    values[place], groups[place] = value, group


@compiled
def _insert(values: _Floats, leaves: _Ints, value: float, leaf: int) -> None:
    """Put a leaf that is likelier than the last among the best."""
    place = len(values) - 1
    while place > 0 and values[place - 1] < value:
        values[place], leaves[place] = values[place - 1], leaves[place - 1]
        place -= 1
    values[place], leaves[place] = value, leaf


@compiled
def _softmax(
    x: _Floats, weight: _Floats, bias: _Floats, start: int, size: int, out: _Floats
) -> None:
    """Write log P(child | parent) of the nodes of a group."""
    for i in range(size):
        total = bias[start + i]
        row = weight[start + i]
        for j in range(len(x)):
            total += row[j] * x[j]
        out[i] = total
    largest = out[0]
    for i in range(1, size):
        largest = max(largest, out[i])
    total = np.exp(out[0] - largest)
    for i in range(1, size):
        total += np.exp(out[i] - largest)
    total = np.log(total)
    for i in range(size):
        out[i] = (out[i] - largest) - total


@compiled
def search(
    hidden: _Floats,
    weight: _Floats,
    bias: _Floats,
    top: _Floats,
    top_ends: _Ints,
    starts: _Ints,
    sizes: _Ints,
    ends: _Ints,
    leaves: _Ints,
    log_proba: _Floats,
    is_exact: NDArray[np.bool_],
    limit: int,
    widest: int,
) -> None:
    """Find the likeliest leaves of each row, by a heap of the nodes that wait to be opened.

    ``leaves``, ``log_proba`` and ``is_exact`` receive the results; see
    :class:`hierclf.nn._search.TreeSearch`.
    """
    k = leaves.shape[1]
    space = limit + len(top_ends) + widest
    values = np.empty(space, log_proba.dtype)
    groups = np.empty(space, np.int64)
    steps = np.empty(widest, log_proba.dtype)
    for row in range(len(hidden)):
        best, found = log_proba[row], leaves[row]
        best[:] = -np.inf
        n = 0
        n_read = len(top_ends)
        is_nan = False
        for i in range(len(top_ends)):
            value = top[row, i]
            if not value > best[k - 1]:
                is_nan |= value != value
            elif top_ends[i] < 0:
                _insert(best, found, value, -1 - top_ends[i])
            else:
                _push(values, groups, n, value, top_ends[i])
                n += 1
        while n > 0 and values[0] > best[k - 1] and n_read <= limit and not is_nan:
            base, group = values[0], groups[0]
            _pop(values, groups, n)
            n -= 1
            start, size = starts[group], sizes[group]
            _softmax(hidden[row], weight, bias, start, size, steps)
            n_read += size
            for i in range(size):
                value = base + steps[i]
                end = ends[start + i]
                if not value > best[k - 1]:
                    is_nan |= value != value
                elif end < 0:
                    _insert(best, found, value, -1 - end)
                else:
                    _push(values, groups, n, value, end)
                    n += 1
        is_over = n == 0 or values[0] <= best[k - 1]
        is_exact[row] = is_over and best[k - 1] > -np.inf and not is_nan
