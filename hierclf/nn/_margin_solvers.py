"""Three ways to the optimum of :mod:`hierclf.nn.margins`, for a block of columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from hierclf.nn.linear import rows_times

# The processor takes this many columns at once.
_LANES = 16
# Steps of conjugate gradients in one Newton step at most, and the share of the gradient at which
# they end; steps of the line search.
_CG_STEPS, _CG_LEFT, _LINE_STEPS = 10, 0.15, 4
# How near the objective on the way has to be to its bound, in tolerances.
_NEAR = 3
# The inverse of a weight is at most, and its inverse at least: beyond, float32 has no room.
_EXTREME = 1e30
# What exact steps reach: the rest is rounding.
_ROUNDING = 1e-13


class Block(NamedTuple):
    """Some solved columns.

    The weights, of shape (n_columns, n_features), are the sum of the rows times ``dual``, which is
    of shape (n_rows, n_columns).
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    dual: NDArray[Any]
    n_iter: int
    is_converged: bool


class Solver(ABC):
    """A way to the optimum, for some rows; what has to be done once is done when it is made."""

    def __init__(self, max_iter: int) -> None:
        self.max_iter = max_iter

    @abstractmethod
    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        """Solve a block of columns to a tolerance, from a dual or from weights of 0."""


class DualDescent(Solver):
    """Dual coordinate descent.

    C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A Dual Coordinate
    Descent Method for Large-scale Linear SVM", ICML 2008: algorithm 1, for all columns of a block
    at each row. The order of the rows is new in each pass, and the same in each fit.
    """

    def __init__(self, X: Any, loops: Any, max_iter: int) -> None:
        super().__init__(max_iter)
        self.X, self.loops = X, loops
        norms = loops.squared_norms(X.indptr, X.indices, X.data, X.shape[1])
        self.norms = norms + X.dtype.type(1)

    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
        X, dtype = self.X, self.X.dtype
        n_columns = sides.shape[1]
        # Columns of no weight fill the last lanes of the processor.
        width = -(-n_columns // _LANES) * _LANES
        inverse = np.zeros((len(sides), width), dtype)
        with np.errstate(divide="ignore", over="ignore"):
            size = np.clip(1 / np.abs(2 * sides), 1 / _EXTREME, _EXTREME)
        inverse[:, :n_columns] = np.sign(sides) * size
        total = np.zeros(width)
        start, dual = dual, np.zeros((len(sides), width), dtype)
        weight, bias = np.zeros((X.shape[1], width), dtype), np.full(width, -1, dtype)
        order = np.flatnonzero(inverse.any(axis=1))
        if start is not None:
            dual[:, :n_columns] = start
            weight, bias = X.T @ dual, dual.sum(axis=0) - 1
            total += _dots(dual, 1 + np.sign(inverse) - dual * abs(inverse) / 2)
            total -= (_dots(weight, weight) + (bias + 1) ** 2) / 2
        generator = np.random.default_rng(0)
        is_converged, n_iter = False, 0
        while n_iter < self.max_iter and not is_converged:
            gains, losses = np.zeros(width), np.zeros(width)
            self.loops.pass_over_rows(
                X.indptr,
                X.indices,
                X.data,
                self.norms,
                inverse,
                generator.permutation(order),
                weight,
                bias,
                dual,
                gains,
                losses,
            )
            n_iter += 1
            total += gains
            # The objective with the losses that there were on the way is to be had for nothing,
            # and some times as far above its bound. When it is near, all rows are worth a look.
            of_weight = _dots(weight, weight) + (bias + 1) ** 2
            if (losses + of_weight - 2 * total <= _NEAR * tol * (losses + of_weight)).all():
                twice = of_weight + self._losses(sides, weight, bias)
                is_converged = bool((twice - 2 * total <= tol * twice).all())
        some = slice(n_columns)
        return Block(weight.T[some], bias[some], dual[:, some], n_iter, is_converged)

    def _losses(
        self, sides: NDArray[np.float64], weight: NDArray[Any], bias: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return twice the sum of the losses of each column, 0 for those that only fill."""
        n_columns = sides.shape[1]
        rows = _parts(self.X)
        margin = rows_times(*rows, torch.from_numpy(weight)).numpy()[:, :n_columns]
        slack = np.maximum(1 - np.sign(sides) * (margin + bias[:n_columns]), 0)
        losses = np.zeros(len(bias))
        losses[:n_columns] = 2 * _dots(np.abs(sides), slack**2)
        return losses


class NewtonCG(Solver):
    """Newton's method with conjugate gradients, in the space of the rows.

    With the Gram matrix K of the rows, a 1 beside each, the inner product of two steps in the
    space of the weights is <u, K v>, and the Newton step solves (I + HK) D = r. The objective is
    strongly convex, so that half the squared gradient is at least what it is above the optimum.
    """

    def __init__(self, X: Any, max_iter: int) -> None:
        super().__init__(max_iter)
        self.X = X
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
        product += values.sum(axis=0)
        return product

    def solve(
        self, sides: NDArray[np.float64], tol: float, dual: NDArray[Any] | None = None
    ) -> Block:
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
            squared = _dots(residual, k_residual)
            objective = (_dots(dual, margin + 1) + _dots(h * slack, slack)) / 2
            is_left = ~(squared <= 2 * tol * objective)  # NaN is no solution
            if not is_left.all():
                result[:, left[~is_left]] = dual[:, ~is_left]
                left, squared = left[is_left], squared[is_left]
                y, h, dual, margin, is_active, residual, k_residual = (
                    np.ascontiguousarray(part[:, is_left])
                    for part in (y, h, dual, margin, is_active, residual, k_residual)
                )
            if not len(left) or n_iter == self.max_iter:
                break
            step, k_step = _conjugate_gradients(
                self.gram, h * is_active, residual, k_residual, squared
            )
            own = _dots(step, margin + 1), _dots(step, k_step)
            length = _best_length(y, h, margin, k_step, *own)
            dual += length * step
            margin += length * k_step
            n_iter += 1
            is_start = False
        result[:, left] = dual
        bias = result.sum(axis=0) - 1
        return Block(self.down(result).T, bias, result, n_iter, not len(left))


def _parts(X: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a matrix in CSR or CSC format as tensors; what is read-only, as a copy."""
    indices, offsets, values = (
        torch.from_numpy(part if part.flags.writeable else part.copy())
        for part in (X.indices, X.indptr, X.data)
    )
    return indices, offsets, values


def _conjugate_gradients(
    gram: Callable[[NDArray[Any]], NDArray[Any]],
    active: NDArray[Any],
    residual: NDArray[Any],
    k_residual: NDArray[Any],
    squared: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Solve (I + HK) D = r for all columns, roughly; ``gram`` is K. Return D and KD."""
    step, k_step = np.zeros_like(residual), np.zeros_like(residual)
    way, k_way = residual, k_residual
    limit = _CG_LEFT**2 * squared
    for iteration in range(_CG_STEPS):
        image = way + active * k_way
        curve = _dots(k_way, image)
        is_going = (squared > limit) & (curve > 0)
        rate = np.divide(squared, curve, out=np.zeros_like(squared), where=is_going)
        step += rate * way
        k_step += rate * k_way
        if iteration + 1 == _CG_STEPS or not is_going.any():
            break
        residual = residual - rate * image
        k_residual = gram(residual)
        now = _dots(residual, k_residual)
        ratio = np.divide(now, squared, out=np.zeros_like(now), where=is_going)
        squared = np.where(is_going, now, 0)
        way = residual + ratio * way
        k_way = k_residual + ratio * k_way
    return step, k_step


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
        return Block(found[:, :-1], found[:, -1] - 1, dual, max(n_iter), all(is_converged))

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
        own = np.array([step @ weight]), np.array([step @ step])
        length = _best_length(y[:, None], h[:, None], margin[:, None], k_step, *own)
        return float(length[0])


def _times(rows: Any, values: NDArray[Any]) -> Any:
    """Multiply each row with a value."""
    if isinstance(rows, np.ndarray):
        return rows * values[:, None]
    return rows.multiply(values[:, None]).tocsr()


def _best_length(
    y: NDArray[Any],
    h: NDArray[Any],
    margin: NDArray[Any],
    change: NDArray[Any],
    slope0: NDArray[Any],
    curve0: NDArray[Any],
) -> NDArray[Any]:
    """Return how far to go along a step of each column, which changes the margins by ``change``.

    Newton's method along a line. The other arguments are the slope and the curvature of the
    penalty of the weights.
    """
    length = np.ones_like(slope0)
    slack0, towards = 1 - y * margin, y * change
    for _ in range(_LINE_STEPS):
        slack = slack0 - length * towards
        of_active = h * towards * (slack > 0)
        slope = slope0 + length * curve0 - _dots(of_active, slack)
        curve = curve0 + _dots(of_active, towards)
        length -= np.divide(slope, curve, out=np.zeros_like(slope), where=curve > 0)
    return length


def _dots(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return the inner product of each column."""
    products: NDArray[Any] = np.einsum("ij,ij->j", a, b)
    return products
