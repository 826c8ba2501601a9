"""Rows handled some at a time, so that what is worked out on the way stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values in the rows of one block.
BLOCK = 1 << 20


def row_blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Yield slices that part some rows of `width` values each, one of no rows if there are none."""
    step = max(1, BLOCK // max(width, 1))
    for start in range(0, max(n_rows, 1), step):
        yield slice(start, min(start + step, n_rows))


def by_blocks(function: Callable[[NDArray[Any]], NDArray[Any]], rows: NDArray[Any]) -> NDArray[Any]:
    """Apply a function that works on each row by itself to some rows at a time.

    Parameters
    ----------
    function : callable
        Takes an ndarray of shape (n_some, n_columns), no rows if there are none, and returns
        one of as many rows, of any further shape.
    rows : ndarray of shape (n, n_columns)
        The rows.

    Returns
    -------
    ndarray of shape (n, ...)
        As if the function had been given all rows.
    """
    blocks = row_blocks(*rows.shape)
    first = function(rows[next(blocks)])
    result = np.empty((len(rows), *first.shape[1:]), dtype=first.dtype)
    result[: len(first)] = first
    for block in blocks:
        result[block] = function(rows[block])
    return result
