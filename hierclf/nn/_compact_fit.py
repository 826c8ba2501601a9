"""Margins of each node against its siblings, solved on the rows below the parent.

The rows are sorted by path, so that those at or below a node are next to each other. The weights of
a group of siblings are a compact table: the features that occur in its rows, by its nodes. Weights
of other features would be 0 at the optimum.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from hierclf._utils.memory import check_fits
from hierclf.hierarchy._arrays import ranges
from hierclf.nn._compact_newton import VALUES, NewtonGroups
from hierclf.nn._fast import loops_for
from hierclf.nn._margin_solvers import PASSES
from hierclf.nn.margins import EXACT_FEATURES, check_products

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

_Ints = NDArray[np.int64]

# Parts that the groups are dealt out to, for each thread.
_PARTS = 8


class Tables(NamedTuple):
    """Compact tables, one for each group of ``hierarchy.arrays.group_offsets``.

    Attributes
    ----------
    features : ndarray of shape (n_lines,), int32
        The features of each group, in ascending order.
    offsets : ndarray of shape (n_groups + 1,)
        Where those of each group start and end.
    weight : ndarray of shape (n_weights,)
        A line for each feature of a group, with a weight for each of its nodes.
    places : ndarray of shape (n_groups + 1,)
        Where the weights of each group start and end.
    bias : ndarray of shape (n_nodes,)
        The biases.
    """

    features: NDArray[np.int32]
    offsets: _Ints
    weight: NDArray[Any]
    places: _Ints
    bias: NDArray[Any]

    def keys(self, n_features: int) -> _Ints:
        """Return a number for the group and feature of each line, in ascending order."""
        n_lines = np.diff(self.offsets)
        return np.repeat(np.arange(len(n_lines)), n_lines) * n_features + self.features


class Asked(NamedTuple):
    """Margins of rows that were solved without them, in groups of one size.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        The rows.
    margins : ndarray of shape (n, size)
        The margins of the nodes of a group.
    child : ndarray of shape (n,)
        Which of them each row is below.
    """

    rows: _Ints
    margins: NDArray[np.float64]
    child: _Ints


class Fitted(NamedTuple):
    """Solved margins.

    Attributes
    ----------
    tables : Tables
        The tables.
    asked : list of Asked
        The margins of the rows to hold out, for each size of groups.
    n_iter : int
        Passes over the rows, or Newton steps, of the group that took the most.
    is_converged : bool
        Whether all groups were solved to the tolerance.
    """

    tables: Tables
    asked: list[Asked]
    n_iter: int
    is_converged: bool


class Shares(NamedTuple):
    """Shares of the weight of the rows in a group.

    Attributes
    ----------
    weight : ndarray of shape (n_nodes,)
        The weight of the rows at or below each node.
    share : ndarray of shape (n_nodes,)
        That of each node.
    n_with_rows : ndarray of shape (n_nodes,)
        How many nodes of its group have rows.
    """

    weight: NDArray[np.float64]
    share: NDArray[np.float64]
    n_with_rows: _Ints

    def log(self) -> NDArray[np.float64]:
        """Return their logarithms; a node without rows counts as an average one of its group."""
        mean = 1 / np.maximum(self.n_with_rows, 1)
        found: NDArray[np.float64] = np.log(np.where(self.share > 0, self.share, mean))
        return found


class Runs(NamedTuple):
    """Rows sorted by path.

    Attributes
    ----------
    order : ndarray of shape (n_rows,)
        The rows in this order.
    first, last : ndarray of shape (n_nodes,)
        Those at or below each node are ``order[first:last]``, its own before those of its children.
    starts, sizes : ndarray of shape (n_groups,)
        The nodes of each group of siblings.
    """

    order: _Ints
    first: _Ints
    last: _Ints
    starts: _Ints
    sizes: _Ints

    @classmethod
    def of(cls, hierarchy: Hierarchy, nodes: NDArray[np.intp]) -> Runs:
        """Sort rows that are labelled with nodes of a tree, as positions in its nodes."""
        arrays = hierarchy.arrays
        above = arrays.edge_parents  # of each node, since it is a tree
        own = np.bincount(nodes, minlength=len(hierarchy)).astype(np.int64)
        total = own.copy()
        bounds = arrays.depth_offsets.tolist()
        levels = [slice(*pair) for pair in pairwise(bounds)]
        for level in reversed(levels[1:]):
            np.add.at(total, above[level], total[level])
        starts, sizes = arrays.group_offsets[:-1], np.diff(arrays.group_offsets)
        # Rows before a node that are below older siblings.
        before = np.cumsum(total) - total
        before -= np.repeat(before[starts], sizes)
        first = before
        for level in levels[1:]:
            first[level] += first[above[level]] + own[above[level]]
        order = np.argsort(first[nodes], kind="stable")
        return cls(order, first, first + total, starts.astype(np.int64), sizes.astype(np.int64))

    @property
    def group_rows(self) -> tuple[_Ints, _Ints]:
        """Return where the rows of each group start and end; none where there is no choice."""
        first = self.first[self.starts]
        last = self.last[self.starts + self.sizes - 1]
        return first, np.where(self.sizes > 1, last, first)

    def shares(self, weight: NDArray[np.float64]) -> Shares:
        """Find the share of each node of the rows in its group, whose weights are in this order."""
        sums = np.append(0, np.cumsum(weight))
        total = sums[self.last] - sums[self.first]
        of_group = np.add.reduceat(total, self.starts)
        count = np.add.reduceat((self.last > self.first).astype(np.int64), self.starts)
        of_node = np.repeat(of_group, self.sizes)
        share = np.divide(total, of_node, out=np.zeros(len(total)), where=of_node > 0)
        return Shares(total, share, np.repeat(count, self.sizes))


class Problem(NamedTuple):
    r"""What there is to solve.

    The margin of each node :math:`v` minimises, with the rows :math:`i` below its parent,

    .. math:: \tfrac12 |w_v|^2 + \tfrac12 (b_v + 1)^2
        + \sum_i c_{iv} \max(0, 1 - y_{iv} (x_i w_v + b_v))^2

    where :math:`y_{iv}` is 1 for rows at or below the node and -1 for those of its siblings.

    Attributes
    ----------
    X : CSR matrix of shape (n_rows, n_features), float32 or float64
        The rows, as ``runs.order`` has them.
    runs : Runs
        Which of them are below each node.
    negative, positive : ndarray of shape (n_rows,)
        The weights of rows on each side, in the same order.
    negative_factor, positive_factor : ndarray of shape (n_nodes,)
        The weights c are the products of these and of those of the rows.
    is_asked : ndarray of shape (n_rows,), bool
        Rows to score without them, as :func:`~hierclf.nn.margins.solve_margins` does.
    """

    X: Any
    runs: Runs
    negative: NDArray[np.float64]
    positive: NDArray[np.float64]
    negative_factor: NDArray[np.float64]
    positive_factor: NDArray[np.float64]
    is_asked: NDArray[np.bool_]


class Solution(NamedTuple):
    """What receives the results.

    Attributes
    ----------
    tables : Tables
        The tables, without weights at first.
    asked_places : ndarray of shape (n_groups + 1,)
        Where the margins of the rows to score start for each group.
    asked_margins : ndarray
        The margins, row by row.
    n_iter : ndarray of shape (n_groups,)
        Passes over the rows, or Newton steps.
    is_solved : ndarray of shape (n_groups,), bool
        Whether all margins of a group were solved to the tolerance.
    """

    tables: Tables
    asked_places: _Ints
    asked_margins: NDArray[Any]
    n_iter: _Ints
    is_solved: NDArray[np.bool_]


def fit_tables(
    problem: Problem, *, tol: float = 1e-2, max_iter: int = 1000, n_jobs: int | None = None
) -> Fitted:
    """Solve the margins of all groups.

    Parameters
    ----------
    problem : Problem
        What there is to solve.
    tol, max_iter
        As for :func:`~hierclf.nn.margins.solve_margins`.
    n_jobs : int, optional
        Groups that compiled loops solve at a time, in threads. The result is the same, to the last
        bit. Without numba torch has threads of its own.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If products of rows would overflow.
    MemoryError
        If the weights take more than half of the memory of the machine.
    """
    X, runs = problem.X, problem.runs
    check_products(X)
    first, last = runs.group_rows
    is_exact = X.shape[1] <= EXACT_FEATURES
    loops = loops_for("_compact_loops", torch.from_numpy(X.data[:0].copy()))
    solution = _make_room(problem, loops)
    todo = np.flatnonzero(last > first)
    if loops is not None and not is_exact:
        norms = loops.squared_norms(X.indptr, X.indices, X.data, X.shape[1]) + X.dtype.type(1)
        tables = solution.tables

        def fit(groups: _Ints) -> None:
            loops.fit_groups(
                groups, X.indptr, X.indices, X.data, norms, problem.negative, problem.positive,
                runs.first, runs.last, runs.starts, runs.sizes, problem.negative_factor,
                problem.positive_factor, tables.offsets, tables.features, tables.places,
                tables.weight, tables.bias, problem.is_asked, solution.asked_places,
                solution.asked_margins, tol, min(max_iter, PASSES), solution.n_iter,
                solution.is_solved,
            )  # fmt: skip

        work = (X.indptr[last] - X.indptr[first]) * runs.sizes
        todo = todo[np.argsort(-work[todo], kind="stable")]  # the largest first
        n_threads = effective_n_jobs(n_jobs)
        if n_threads == 1:
            fit(todo)
        else:
            parts = [todo[i :: _PARTS * n_threads] for i in range(_PARTS * n_threads)]
            Parallel(n_jobs=n_jobs, require="sharedmem")(map(delayed(fit), parts))
        todo = np.flatnonzero(~solution.is_solved & (solution.n_iter < max_iter))
    if len(todo):
        newton = NewtonGroups(problem, solution, is_exact=is_exact)
        newton.solve(todo, tol, max_iter)
    return Fitted(
        solution.tables,
        _read_asked(problem, solution),
        int(solution.n_iter.max(initial=0)),
        bool(solution.is_solved.all()),
    )


def _make_room(problem: Problem, loops: Any) -> Solution:
    """List the features of each group, and make room for the results."""
    X, runs = problem.X, problem.runs
    first, last = runs.group_rows
    offsets, features = _list_features(X, first, last, loops)
    places = np.append(0, np.cumsum(np.diff(offsets) * runs.sizes))
    check_fits(
        int(places[-1]),
        1,
        X.dtype.itemsize,
        what="the table of weights",
        cure="choose fewer features, such as SelectKBest does, or split large groups of siblings",
    )
    weight, bias = (np.zeros(n, X.dtype) for n in (places[-1], len(problem.positive_factor)))
    before = np.append(0, np.cumsum(problem.is_asked))
    asked_places = np.append(0, np.cumsum((before[last] - before[first]) * runs.sizes))
    return Solution(
        Tables(features, offsets, weight, places, bias),
        asked_places,
        np.zeros(asked_places[-1], X.dtype),
        np.zeros(len(first), np.int64),
        np.ones(len(first), bool),
    )


def _read_asked(problem: Problem, solution: Solution) -> list[Asked]:
    """Put the margins of the rows to score together, for each size of groups."""
    runs = problem.runs
    first, last = runs.group_rows
    asked = np.flatnonzero(problem.is_asked)
    begin, end = np.searchsorted(asked, first), np.searchsorted(asked, last)
    found = []
    for size in np.unique(runs.sizes[end > begin]):
        groups = np.flatnonzero((runs.sizes == size) & (end > begin))
        counts = (end - begin)[groups]
        rows = asked[ranges(begin[groups], counts)]
        values = solution.asked_margins[ranges(solution.asked_places[groups], counts * size)]
        # The rows of a group lie by child.
        nodes = ranges(runs.starts[groups], runs.sizes[groups])
        n_own = np.searchsorted(asked, runs.last[nodes]) - np.searchsorted(asked, runs.first[nodes])
        child = np.repeat(np.tile(np.arange(size), len(groups)), n_own)
        found.append(Asked(rows, values.reshape(-1, size).astype(np.float64), child))
    return found


def _list_features(
    X: Any, first: _Ints, last: _Ints, loops: Any
) -> tuple[_Ints, NDArray[np.int32]]:
    """Return the features that occur in each group, and where those of each start."""
    n_features = X.shape[1]
    if loops is not None:
        counts = np.zeros(len(first), np.int64)
        loops.count_features(X.indptr, X.indices, first, last, n_features, counts)
        offsets = np.append(0, np.cumsum(counts))
        features = np.empty(offsets[-1], np.int32)
        loops.list_features(X.indptr, X.indices, first, last, n_features, offsets, features)
        return offsets, features
    counts, found = np.zeros(len(first), np.int64), [np.zeros(0, np.int32)]
    values = X.indptr[last].astype(np.int64) - X.indptr[first]
    for groups in np.split(
        np.arange(len(first)), np.flatnonzero(np.diff(np.cumsum(values) // VALUES)) + 1
    ):
        entries = ranges(X.indptr[first[groups]], values[groups])
        keys = np.unique(np.repeat(groups, values[groups]) * n_features + X.indices[entries])
        counts += np.bincount(keys // n_features, minlength=len(first))
        found.append((keys % n_features).astype(np.int32))
    return np.append(0, np.cumsum(counts)), np.concatenate(found)
