r"""Margins: linear problems with squared hinge loss over the same rows, solved to the optimum.

Each column :math:`v` of weights minimises, by itself,

.. math:: \tfrac12 |w_v|^2 + \tfrac12 (b_v + 1)^2
    + \sum_i c_{iv} \max(0, 1 - y_{iv} (x_i w_v + b_v))^2

with sides :math:`y_{iv} = \pm 1`. The bias is drawn to -1 and not to 0: where few rows are on the
positive side, that is where all others are right.

There are three ways to the one optimum. **Few features**: Newton's method, whose steps are solved
exactly. **More features, with numba**: dual coordinate descent, a pass over the rows for several
columns at once. **Else**, and where passes get nowhere, Newton's method with conjugate gradients,
in the space of the rows: with :math:`W = X'A` the weights are those of the rows, and all that is
done with X are products with the columns of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from hierclf.nn._fast import loops_for
from hierclf.nn._margin_solvers import BLOCK, DualDescent, ExactNewton, NewtonCG, Solver

# Features at most for which each Newton step is solved exactly: a table of their products is then
# small, and other methods are slow where features differ much in size.
EXACT_FEATURES = 64
# Values of a block, one for each row and column: fewer columns where there are many rows.
_BLOCK_VALUES = 1 << 24

Sides = Callable[[slice], NDArray[np.float64]]


class Margins(NamedTuple):
    """The solved columns.

    Attributes
    ----------
    weight : ndarray of shape (n_columns, n_features)
        The weights.
    bias : ndarray of shape (n_columns,)
        The biases.
    held_out : ndarray of shape (n_held_out, n_columns)
        What the columns would say of the rows to hold out, had they been solved without these.
    n_iter : int
        Passes over the rows, or Newton steps, of the column that took the most.
    is_converged : bool
        Whether all columns were solved to the tolerance.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    held_out: NDArray[Any]
    n_iter: int
    is_converged: bool


def solve_margins(
    X: Any,
    sides: Sides,
    n_columns: int,
    *,
    tol: float = 1e-2,
    max_iter: int = 1000,
    hold_out: NDArray[np.intp] | None = None,
    n_jobs: int | None = None,
) -> Margins:
    """Solve all columns.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features), float32 or float64
        The rows.
    sides : callable
        Takes a slice of the columns, and returns an array of shape (n_rows, n_columns of the
        slice): the side of each row, 1 or -1, times its weight c; 0 where a row does not count.
    n_columns : int
        How many columns there are.
    tol : float
        A column is solved when its objective is at most this share of it above a bound of the
        optimum, and so, as a rule, a tenth of that above the optimum itself. In float32 the
        rounding is about 1e-6. With few features the optimum is always exact.
    max_iter : int
        Passes over the rows, or Newton steps, at most.
    hold_out : ndarray of int, optional
        Rows to score without them. The columns are solved with all rows first, and from there
        without these, which takes a few more passes and changes no weights.
    n_jobs : int, optional
        Blocks of columns that are solved at a time, in threads. The result is the same, to the
        last bit.

    Returns
    -------
    Margins

    Raises
    ------
    ValueError
        If products of rows would overflow.

    Examples
    --------
    Two rows on a line, one on each side. By symmetry both have a loss of the same size:

    >>> import numpy as np
    >>> X = np.array([[-1.0], [1.0]])
    >>> found = solve_margins(X, lambda columns: np.array([[-1.0], [1.0]]), 1)
    >>> found.weight.round(3), found.bias.round(3)
    (array([[0.8]]), array([-0.2]))
    """
    check_products(X)
    n_rows, n_features = X.shape
    asked = np.zeros(0, dtype=np.intp) if hold_out is None else hold_out
    weight = np.empty((n_columns, n_features), X.dtype)
    bias = np.empty(n_columns, X.dtype)
    held_out = np.empty((len(asked), n_columns), X.dtype)
    solver = _choose_solver(X, max_iter)

    def solve_block(columns: slice) -> tuple[int, bool]:
        of_block = sides(columns)
        block = solver.solve(of_block, tol)
        weight[columns], bias[columns] = block.weight, block.bias[0]
        if len(asked):
            without = solver.solve_without(asked, of_block, tol, block)
            held_out[:, columns] = X[asked] @ without.weight.T + without.bias
        return block.n_iter, bool(block.is_solved[0])

    step = max(1, min(BLOCK, _BLOCK_VALUES // max(n_rows, 1)))
    blocks = [slice(i, min(i + step, n_columns)) for i in range(0, n_columns, step)]
    if len(blocks) == 1 or n_jobs in (None, 1):  # joblib looks around for a tenth of a second
        done = [solve_block(columns) for columns in blocks]
    else:
        done = Parallel(n_jobs=n_jobs, require="sharedmem")(map(delayed(solve_block), blocks))
    n_iter, is_converged = zip(*done, strict=True)
    return Margins(weight, bias, held_out, max(n_iter), all(is_converged))


def _choose_solver(X: Any, max_iter: int) -> Solver:
    if X.shape[1] <= EXACT_FEATURES:
        return ExactNewton(X, max_iter)
    loops = loops_for("_margin_loops", torch.from_numpy(np.zeros(0, X.dtype)))
    if loops is not None:
        return DualDescent(X, loops, max_iter)
    return NewtonCG(X, max_iter)


def check_products(X: Any) -> None:
    """Raise if products of rows would overflow."""
    is_sparse: bool = sp.issparse(X)
    values = X.data if is_sparse else X
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    if not largest**2 * X.shape[1] < float(np.finfo(X.dtype).max):
        raise ValueError(
            f"X holds values up to {largest:.3g}, and the products of its rows overflow {X.dtype}: "
            "scale the features"
        )
