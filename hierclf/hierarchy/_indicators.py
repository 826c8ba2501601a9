"""What an indicator matrix says, dense or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_indicator(given: Any, n_nodes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each row of an indicator matrix holds 1; refuse what is neither 0 nor 1.

    Parameters
    ----------
    given : array-like or sparse matrix of shape (n, n_nodes)
        A sparse matrix is known by its ``tocsr``. What it holds twice for a cell is added up, as
        everywhere in scipy.
    n_nodes : int
        The number of columns there must be.

    Returns
    -------
    offsets : ndarray of shape (n + 1,), dtype intp
        Row i has the columns ``columns[offsets[i] : offsets[i + 1]]``.
    columns : ndarray of shape (n_ones,), dtype intp
        Ascending in each row.

    Raises
    ------
    ValueError
        If the shape does not fit, or a value is neither 0 nor 1; the message names row and value.

    Examples
    --------
    >>> read_indicator([[1, 0, 1], [0, 1, 0]], n_nodes=3)
    (array([0, 2, 3]), array([0, 2, 1]))
    """
    is_sparse = hasattr(given, "tocsr")
    matrix: Any = given if is_sparse else np.asarray(given)
    if len(matrix.shape) != 2 or matrix.shape[1] != n_nodes:
        raise ValueError(
            f"the indicator matrix must have a column for each of the {n_nodes} nodes, "
            f"its shape is {matrix.shape}"
        )
    if is_sparse:
        matrix = matrix.tocsr(copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        offsets, columns, values = matrix.indptr, matrix.indices, matrix.data
    else:
        if matrix.dtype.kind not in "biuf":  # comparing strings with numbers may warn, or raise
            matrix = matrix.astype(object)
        rows, columns = np.nonzero(matrix != 0)
        counts = np.bincount(rows, minlength=len(matrix))
        offsets, values = np.concatenate(([0], np.cumsum(counts))), matrix[rows, columns]
    bad = np.flatnonzero(values != 1)
    if len(bad):
        row = np.searchsorted(offsets, bad[0], side="right") - 1
        value = values[bad[:1]].tolist()[0]
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"row {row} holds {shown}: an indicator matrix holds 0 and 1 only")
    return offsets.astype(np.intp), columns.astype(np.intp)
