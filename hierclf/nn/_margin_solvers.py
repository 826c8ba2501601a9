"""Three ways to the optimum of :mod:`hierclf.nn.margins`, for a block of columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray

from hierclf.nn.linear import rows_times

# Columns of a block: as many as make up two cache lines of float32.
BLOCK = 32
# How much less exactly columns are solved without the rows that are held out.
ROUGHLY = 10
# Passes over sparse and over dense rows before Newton's method takes over: where rows share few
# features, passes get nowhere, and dense rows are as long to read at the end as at the start.
PASSES, DENSE_PASSES = 150, 30
# The processor takes this many columns at once.
_LANES = 16
# Steps of conjugate gradients in one Newton step at most, and the share of the gradient at which
# they end; steps of the line search.
_CG_STEPS, _CG_LEFT, _LINE_STEPS = 10, 0.15, 4
# What exact steps reach: the rest is rounding.
_ROUNDING = 1e-13


class Block(NamedTuple):
    """Some solved columns, of one problem or of several.

    Attributes
    ----------
    weight : ndarray of shape (n_columns, n_features)
        The weights: the sum of the rows times ``dual``.
    bias : ndarray of shape (n_problems, n_columns)
        The biases.
    dual : ndarray of shape (n_rows, n_columns)
        The dual.
    n_iter : int
        Passes over the rows, or Newton steps.
    is_solved : ndarray of shape (n_problems,), bool
        Whether all columns of a problem were solved to the tolerance.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    dual: NDArray[Any]
    n_iter: int
    is_solved: NDArray[np.bool_]


class Solver(ABC):
    """A way to the optimum, for some rows; what has to be done once is done when it is made."""

    def __init__(self, max_iter: int) -> None:
        self.max_iter = max_iter

    @abstractmethod
    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        """Solve a block of columns to a tolerance, from a dual or from weights of 0."""

    def solve_without(
        self, rows: NDArray[Any], sides: NDArray[np.float64], tol: float, block: Block
    ) -> Block:
        """Solve a block roughly without some rows, which are taken out of its sides and dual."""
        sides[rows] = block.dual[rows] = 0
        return self.solve(sides, ROUGHLY * tol, block.dual)


class DualDescent(Solver):
    """Dual coordinate descent.

    C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A Dual Coordinate
    Descent Method for Large-scale Linear SVM", ICML 2008: algorithm 1, for all columns of a block
    at each row.
    """

    def __init__(self, X: Any, loops: Any, max_iter: int) -> None:
        super().__init__(max_iter)
        self.X, self.loops = X, loops
        is_sparse: bool = sp.issparse(X)
        if is_sparse:
            self.rows = X.indptr, X.indices, X.data
        else:
            self.rows = np.arange(len(X) + 1) * X.shape[1], np.zeros(0, np.int32), np.ravel(X)
        self.passes = min(max_iter, PASSES if is_sparse else DENSE_PASSES)
        self.norms = loops.squared_norms(*self.rows, X.shape[1]) + X.dtype.type(1)

    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        X, dtype = self.X, self.X.dtype
        n_columns = sides.shape[1]
        # Columns of no weight fill the last lanes of the processor.
        width = -(-n_columns // _LANES) * _LANES
        inverse = np.zeros((len(sides), width), dtype)
        inverse[:, :n_columns] = sides
        self.loops.invert(inverse)
        start, dual = dual, np.zeros((len(sides), width), dtype)
        weight, bias = np.zeros((X.shape[1], width), dtype), np.full(width, -1, dtype)
        if start is not None:
            dual[:, :n_columns] = start
            weight, bias = X.T @ dual, dual.sum(axis=0) - 1
        n_iter, gap = self.loops.solve_block(
            *self.rows,
            self.norms,
            inverse,
            weight,
            bias,
            dual,
            tol,
            self.passes,
        )
        some = slice(n_columns)
        if not gap <= tol and n_iter < self.max_iter:
            block = NewtonCG(X, self.max_iter - n_iter).solve(sides, tol, dual[:, some])
            return block._replace(n_iter=n_iter + block.n_iter)
        solved = np.array([gap <= tol])
        return Block(weight.T[some], bias[None, some], dual[:, some], n_iter, solved)


class Stack:
    """Problems one below the other, which have nothing to do with each other.

    Parameters
    ----------
    n_rows : array-like of shape (n_problems,)
        Rows of each problem, 1 at least.
    """

    def __init__(self, n_rows: ArrayLike) -> None:
        self.n_rows = np.asarray(n_rows)
        self.starts = np.cumsum(self.n_rows) - self.n_rows

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Add up (n_rows, n_columns) to (n_problems, n_columns)."""
        found: NDArray[Any]
        if len(self.starts) == 1:
            found = values.sum(axis=0, keepdims=True)
        else:
            found = np.add.reduceat(values, self.starts, axis=0)
        return found

    def dots(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        """Return the inner product of each column of each problem."""
        if len(self.starts) == 1:
            products: NDArray[Any] = np.einsum("ij,ij->j", a, b)
            return products[None]
        return self.sums(a * b)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give each row the values of its problem, from (n_problems, n_columns)."""
        return values if len(values) == 1 else np.repeat(values, self.n_rows, axis=0)


class NewtonCG(Solver):
    """Newton's method with conjugate gradients, in the space of the rows.

    With the Gram matrix K of the rows, a 1 beside each, the inner product of two steps in the
    space of the weights is <u, K v>, and the Newton step solves (I + HK) D = r. The objective is
    strongly convex, so that half the squared gradient is at least what it is above the optimum.

    ``n_rows`` are the rows of each problem, where X has several below each other that share no
    features; each has biases of its own.
    """

    def __init__(self, X: Any, max_iter: int, n_rows: ArrayLike | None = None) -> None:
        super().__init__(max_iter)
        self.X = X
        self.stack = Stack([X.shape[0]] if n_rows is None else n_rows)
        self.is_sparse: bool = sp.issparse(X)
        if self.is_sparse:
            self.rows, self.columns = _parts(X), _parts(X.tocsc())

    def down(self, values: NDArray[Any]) -> NDArray[Any]:
        """Multiply X' with an array of shape (n_rows, n_columns)."""
        product: NDArray[Any]
        if self.is_sparse:
            product = rows_times(*self.columns, torch.from_numpy(values)).numpy()
        else:
            product = self.X.T @ values
        return product

    def gram(self, values: NDArray[Any]) -> NDArray[Any]:
        """Multiply XX' + 11' with an array of shape (n_rows, n_columns)."""
        down = self.down(values)
        product: NDArray[Any]
        if self.is_sparse:
            product = rows_times(*self.rows, torch.from_numpy(down)).numpy()
        else:
            product = self.X @ down
        product += self.stack.spread(self.stack.sums(values))
        return product

    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        dots, spread = self.stack.dots, self.stack.spread
        sides = sides.astype(self.X.dtype, copy=False)
        h, y = np.abs(2 * sides), np.sign(sides)
        result = np.zeros_like(sides)
        left = np.arange(sides.shape[1])
        # At the start negative rows are right on the margin: they count, or the step forgets them.
        is_active, is_start = h > 0, dual is None
        if dual is None:
            dual, margin = result.copy(), np.full_like(sides, -1)
        else:
            dual = np.ascontiguousarray(dual)
            margin = self.gram(dual) - 1
        n_iter = 0
        while True:
            slack = np.maximum(1 - y * margin, 0)
            if not is_start:
                is_active = slack > 0
            residual = h * y * slack - dual
            k_residual = self.gram(residual)
            squared = dots(residual, k_residual)
            objective = (dots(dual, margin + 1) + dots(h * slack, slack)) / 2
            is_solved = squared <= 2 * tol * objective  # NaN is no solution
            squared = np.where(is_solved, 0, squared)  # no steps where the rest is rounding
            is_left = ~is_solved.all(axis=0)
            if not is_left.all():
                result[:, left[~is_left]] = dual[:, ~is_left]
                left, squared = left[is_left], squared[:, is_left]
                y, h, dual, margin, is_active, residual, k_residual = (
                    np.ascontiguousarray(part[:, is_left])
                    for part in (y, h, dual, margin, is_active, residual, k_residual)
                )
            if not len(left) or n_iter == self.max_iter:
                break
            step, k_step = self._conjugate_gradients(h * is_active, residual, k_residual, squared)
            own = dots(step, margin + 1), dots(step, k_step)
            length = spread(_best_length(self.stack, y, h, margin, k_step, *own))
            dual += length * step
            margin += length * k_step
            n_iter += 1
            is_start = False
        result[:, left] = dual
        bias = self.stack.sums(result) - 1
        return Block(self.down(result).T, bias, result, n_iter, is_solved.all(axis=1))

    def _conjugate_gradients(
        self,
        active: NDArray[Any],
        residual: NDArray[Any],
        k_residual: NDArray[Any],
        squared: NDArray[Any],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Solve (I + HK) D = r for all columns, roughly. Return D and KD."""
        dots, spread = self.stack.dots, self.stack.spread
        step, k_step = np.zeros_like(residual), np.zeros_like(residual)
        residual, way, k_way = residual.copy(), residual.copy(), k_residual
        # In place: large arrays are slow to get.
        image, product = np.empty_like(residual), np.empty_like(residual)
        limit = _CG_LEFT**2 * squared
        for iteration in range(_CG_STEPS):
            np.multiply(active, k_way, out=image)
            image += way
            curve = dots(k_way, image)
            is_going = (squared > limit) & (curve > 0)
            rate = spread(np.divide(squared, curve, out=np.zeros_like(squared), where=is_going))
            step += np.multiply(rate, way, out=product)
            k_step += np.multiply(rate, k_way, out=product)
            if iteration + 1 == _CG_STEPS or not is_going.any():
                break
            residual -= np.multiply(rate, image, out=product)
            k_residual = self.gram(residual)
            now = dots(residual, k_residual)
            ratio = spread(np.divide(now, squared, out=np.zeros_like(now), where=is_going))
            squared = np.where(is_going, now, 0)
            way *= ratio
            way += residual
            k_way *= ratio
            k_way += k_residual
        return step, k_step


def _parts(X: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a matrix in CSR or CSC format as tensors; what is read-only, as a copy."""
    indices, offsets, values = (
        torch.from_numpy(part if part.flags.writeable else part.copy())
        for part in (X.indices, X.indptr, X.data)
    )
    return indices, offsets, values


class ExactNewton(Solver):
    """Newton's method in the space of the features, whose steps are solved exactly.

    For few features: what takes time is a table of their products for each column and step.
    """

    def __init__(self, X: Any, max_iter: int) -> None:
        super().__init__(max_iter)
        ones = np.ones((X.shape[0], 1))
        X = X.astype(np.float64, copy=False)
        both: list[Any] = [X, ones]
        is_sparse: bool = sp.issparse(X)
        self.X: Any = sp.hstack(both, format="csr") if is_sparse else np.hstack(both)

    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        dual = np.zeros_like(sides) if dual is None else dual.copy()
        found = np.empty((sides.shape[1], self.X.shape[1]))
        ways = [self._solve_column(sides[:, j], dual[:, j], found[j]) for j in range(len(found))]
        n_iter, is_converged = zip(*ways, strict=True)
        solved = np.array([all(is_converged)])
        return Block(found[:, :-1], found[None, :, -1] - 1, dual, max(n_iter), solved)

    def _solve_column(
        self, sides: NDArray[np.float64], dual: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> tuple[int, bool]:
        """Solve a column from its dual; write dual and weight."""
        X, h, y = self.X, np.abs(2 * sides), np.sign(sides)
        weight[:] = X.T @ dual
        n_iter, is_full = 0, False
        is_active = h > 0
        while True:
            margin = X @ weight - 1
            slack = np.maximum(1 - y * margin, 0)
            dual[:] = h * y * slack
            gradient = weight - X.T @ dual
            objective = (weight @ weight + h @ slack**2) / 2
            if n_iter:
                before, is_active = is_active, (slack > 0) & (h > 0)
                # With the same rows active the problem was a quadratic one, and is solved.
                if is_full and np.array_equal(before, is_active):
                    return n_iter, True
            if gradient @ gradient <= _ROUNDING**2 * objective:
                return n_iter, True
            if n_iter == self.max_iter:
                return n_iter, False
            rows = X[is_active]
            table = rows.T @ _times(rows, h[is_active])
            table = table if isinstance(table, np.ndarray) else table.toarray()
            values, vectors = np.linalg.eigh(table)
            step = -vectors @ ((vectors.T @ gradient) / (1 + np.maximum(values, 0)))
            length = self._line_search(h, y, margin, weight, step)
            is_full = abs(length - 1) <= 1e-9
            if step @ step <= _ROUNDING**2 * (weight @ weight):
                return n_iter, True
            weight += length * step
            n_iter += 1

    def _line_search(
        self,
        h: NDArray[np.float64],
        y: NDArray[np.float64],
        margin: NDArray[np.float64],
        weight: NDArray[np.float64],
        step: NDArray[np.float64],
    ) -> float:
        k_step = (self.X @ step)[:, None]
        own = np.array([[step @ weight]]), np.array([[step @ step]])
        column = (y[:, None], h[:, None], margin[:, None], k_step)
        return float(_best_length(Stack([len(y)]), *column, *own)[0, 0])


def _times(rows: Any, values: NDArray[Any]) -> Any:
    """Multiply each row with a value."""
    if isinstance(rows, np.ndarray):
        return rows * values[:, None]
    return rows.multiply(values[:, None]).tocsr()


def _best_length(
    stack: Stack,
    y: NDArray[Any],
    h: NDArray[Any],
    margin: NDArray[Any],
    change: NDArray[Any],
    slope0: NDArray[Any],
    curve0: NDArray[Any],
) -> NDArray[Any]:
    """Return how far to go along a step, which changes the margins by ``change``, for each column.

    Newton's method along a line. The other arguments are the slope and the curvature of the
    penalty of the weights.
    """
    length = np.ones_like(slope0)
    slack0, towards = 1 - y * margin, y * change
    for _ in range(_LINE_STEPS):
        slack = slack0 - stack.spread(length) * towards
        of_active = h * towards * (slack > 0)
        slope = slope0 + length * curve0 - stack.dots(of_active, slack)
        curve = curve0 + stack.dots(of_active, towards)
        length -= np.divide(slope, curve, out=np.zeros_like(slope), where=curve > 0)
    return length
