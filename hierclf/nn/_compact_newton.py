"""Margins over compact tables by Newton's method, for many groups at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from hierclf.hierarchy._arrays import ranges
from hierclf.nn._margin_solvers import BLOCK, ExactNewton, NewtonCG, Solver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hierclf.nn._compact_fit import Problem, Solution

# Values of rows and margins that are held at once.
VALUES = 1 << 16


class NewtonGroups:
    """Newton's method for the margins of some groups.

    Groups of about the same size are put below each other, each with columns of its own in X and
    as many margins as the largest has.

    Parameters
    ----------
    problem : Problem
        What there is to solve.
    solution : Solution
        Receives the results.
    is_exact : bool
        Whether each group is solved by itself, exactly.
    """

    def __init__(self, problem: Problem, solution: Solution, *, is_exact: bool) -> None:
        self.problem, self.solution, self.is_exact = problem, solution, is_exact
        self.first, self.last = problem.runs.group_rows
        self.n_lines = np.diff(solution.tables.offsets)
        self.keys = solution.tables.keys(problem.X.shape[1])

    def solve(self, groups: NDArray[np.int64], tol: float, max_iter: int) -> None:
        """Solve some groups, each with several nodes and rows."""
        self.solution.is_solved[groups] = True
        for part in np.split(groups, len(groups)) if self.is_exact else self._cut(groups):
            self._solve(part, tol, max_iter)

    def _cut(self, groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Put groups of about the same size together, as many as fit."""
        sizes, indptr = self.problem.runs.sizes, self.problem.X.indptr
        exponent = np.ceil(np.log2(sizes[groups])).astype(np.int64)
        n_rows = self.last[groups] - self.first[groups]
        n_values = indptr[self.last[groups]] - indptr[self.first[groups]]
        parts = []
        for e in np.unique(exponent):
            own = np.flatnonzero(exponent == e)
            total = np.cumsum(n_values[own] + n_rows[own] * min(2**e, BLOCK))
            cuts = np.flatnonzero(np.diff(total // VALUES)) + 1
            parts += [groups[some] for some in np.split(own, cuts)]
        return parts

    def _solve(self, groups: NDArray[np.int64], tol: float, max_iter: int) -> None:
        """Solve some groups that are put below each other."""
        runs, tables = self.problem.runs, self.solution.tables
        sizes, starts = runs.sizes[groups], runs.starts[groups]
        n_rows, n_lines = self.last[groups] - self.first[groups], self.n_lines[groups]
        rows = ranges(self.first[groups], n_rows)
        group = np.repeat(np.arange(len(groups)), n_rows)
        nodes = ranges(starts, sizes)
        counts = runs.last[nodes] - runs.first[nodes]
        child = np.repeat(nodes - np.repeat(starts, sizes), counts)
        negative = self.problem.negative[rows]
        positive = self.problem.positive[rows]
        positive = positive * np.repeat(self.problem.positive_factor[nodes], counts)
        asked = np.flatnonzero(self.problem.is_asked[rows])
        X = self._stack(groups, rows, group)
        solver: Solver = (
            ExactNewton(X.toarray(), max_iter) if self.is_exact else NewtonCG(X, max_iter, n_rows)
        )
        # Where the weights of each line, and the margins of each row to score, start.
        line_size, asked_size = np.repeat(sizes, n_lines), sizes[group[asked]]
        n_asked = np.bincount(group[asked], minlength=len(groups))
        line_places = _spaced(tables.places[groups], sizes, n_lines)
        asked_places = _spaced(self.solution.asked_places[groups], sizes, n_asked)
        for left in range(0, int(sizes.max()), BLOCK):
            columns = np.arange(left, min(left + BLOCK, int(sizes.max())))
            is_node = columns < sizes[:, None]
            factor = np.zeros(is_node.shape)
            factor[is_node] = self.problem.negative_factor[(starts[:, None] + columns)[is_node]]
            sides = -negative[:, None] * factor[group]
            own = np.flatnonzero((child >= left) & (child < left + BLOCK))
            sides[own, child[own] - left] = positive[own]
            block = solver.solve(sides, tol)
            self.solution.n_iter[groups] = np.maximum(self.solution.n_iter[groups], block.n_iter)
            self.solution.is_solved[groups] &= block.is_solved
            for j, column in enumerate(columns):
                has = column < sizes
                tables.bias[starts[has] + column] = block.bias[has, j]
                has = column < line_size
                tables.weight[line_places[has] + column] = block.weight[j, has]
            if len(asked):
                without = solver.solve_without(asked, sides, tol, block)
                margins = X[asked] @ without.weight.T + without.bias[group[asked]]
                for j, column in enumerate(columns):
                    has = column < asked_size
                    self.solution.asked_margins[asked_places[has] + column] = margins[has, j]

    def _stack(
        self, groups: NDArray[np.int64], rows: NDArray[np.int64], group: NDArray[np.int64]
    ) -> Any:
        """Return the rows with a column for each line of these groups."""
        X = self.problem.X[rows]
        of_value = np.repeat(group, np.diff(X.indptr))
        lines = np.searchsorted(self.keys, groups[of_value] * X.shape[1] + X.indices)
        # From a line of all tables to one of these.
        n_lines = self.n_lines[groups]
        lines -= (self.solution.tables.offsets[groups] - np.cumsum(n_lines) + n_lines)[of_value]
        return sp.csr_array((X.data, lines, X.indptr), shape=(len(rows), int(n_lines.sum())))


def _spaced(
    starts: NDArray[np.int64], steps: NDArray[np.int64], counts: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return some numbers from each start on, a step apart, one run after another."""
    number = ranges(np.zeros_like(counts), counts)
    found: NDArray[np.int64] = np.repeat(starts, counts) + np.repeat(steps, counts) * number
    return found
