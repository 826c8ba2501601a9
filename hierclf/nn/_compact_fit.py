"""A softmax for each group of siblings, fitted by itself on the rows below the parent.

The rows are sorted by path, so that those at or below a node are next to each other. The weights of
a group are a compact table: the features that occur in its rows, by its nodes. Weights of other
features would be 0 at the optimum.
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

if TYPE_CHECKING:
    from hierclf.hierarchy import Hierarchy

_Ints = NDArray[np.int64]

# Features at most for which the optimum is exact: what Newton's method reaches in so many steps,
# or the gap at which the rest is rounding.
EXACT_FEATURES = 64
_EXACT, _EXACT_STEPS = 1e-20, 100
# Parts that the groups are dealt out to, for each thread.
_PARTS = 8
# Passes over the rows, before Newton's method takes over.
_PASSES = 120


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


class Fitted(NamedTuple):
    """Fitted tables, and how near they are to the optimum.

    Attributes
    ----------
    tables : Tables
        The tables.
    n_iter : int
        Passes over the rows, or Newton steps, of the group that took the most.
    is_converged : bool
        Whether all groups were solved to the tolerance.
    """

    tables: Tables
    n_iter: int
    is_converged: bool


class Shares(NamedTuple):
    """Shares of the weight of the rows in a group.

    Attributes
    ----------
    share : ndarray of shape (n_nodes,)
        That of each node.
    n_with_rows : ndarray of shape (n_nodes,)
        How many nodes of its group have rows.
    """

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
        return Shares(share, np.repeat(count, self.sizes))


def fit_tables(
    X: Any,
    runs: Runs,
    cost: NDArray[np.float64],
    factor: NDArray[np.float64],
    *,
    tol: float = 1e-2,
    max_iter: int = 1000,
    n_jobs: int | None = None,
) -> Fitted:
    r"""Fit the softmaxes of all groups.

    That of a group minimises, by itself, with its rows :math:`i` at or below its nodes
    :math:`y_i`

    .. math:: \tfrac12 \|W\|^2 + \tfrac12 \|b\|^2 - \sum_i c_i f_{y_i} \log P(y_i \mid x_i)

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_features), float32 or float64
        The rows, as ``runs.order`` has them.
    runs : Runs
        Which of them are below each node.
    cost : ndarray of shape (n_rows,)
        The weights c, in the same order.
    factor : ndarray of shape (n_nodes,)
        The factors f.
    tol : float
        A group is solved when its objective is at most this share of it above a bound of the
        optimum. With few features the optimum is always exact.
    max_iter : int
        Passes over the rows, or Newton steps, at most.
    n_jobs : int, optional
        Groups that compiled loops solve at a time, in threads. The result is the same, to the last
        bit. Without numba torch has threads of its own.

    Returns
    -------
    Fitted

    Raises
    ------
    MemoryError
        If the weights take more than half of the memory of the machine.
    """
    first, last = runs.group_rows
    n_groups, n_nodes, dtype = len(first), len(factor), X.dtype
    loops = loops_for("_compact_loops", torch.from_numpy(X.data[:0].copy()))
    offsets, features = _list_features(X, first, last, loops)
    wanted, most = tol, max_iter
    if X.shape[1] <= EXACT_FEATURES:
        X, loops = X.astype(np.float64), None
        wanted, most = min(tol, _EXACT), min(max_iter, _EXACT_STEPS)
    n_lines = np.diff(offsets)
    places = np.append(0, np.cumsum(n_lines * runs.sizes))
    check_fits(
        int(places[-1]),
        1,
        X.dtype.itemsize,
        what="the table of weights",
        cure="choose fewer features, such as SelectKBest does, or split large groups of siblings",
    )
    weight, bias = np.zeros(places[-1], X.dtype), np.zeros(n_nodes, X.dtype)
    tables = Tables(features, offsets, weight, places, bias)
    n_iter, gaps = np.zeros(n_groups, np.int64), np.zeros(n_groups)
    cost = cost.astype(X.dtype)
    if loops is not None:
        norms = loops.squared_norms(X.indptr, X.indices, X.data, X.shape[1]) + X.dtype.type(1)
        factor = factor.astype(X.dtype)

    def fit(groups: _Ints) -> None:
        loops.fit_groups(
            groups, X.indptr, X.indices, X.data, norms, cost, runs.first, runs.last, runs.starts,
            runs.sizes, factor, offsets, features, places, weight, bias,
            tol, min(max_iter, _PASSES), n_iter, gaps,
        )  # fmt: skip

    work = (X.indptr[last] - X.indptr[first]) * runs.sizes
    todo = np.argsort(-work, kind="stable")  # the largest first
    if loops is not None:
        n_threads = effective_n_jobs(n_jobs)
        if n_threads == 1:
            fit(todo)
        else:
            parts = [todo[i :: _PARTS * n_threads] for i in range(_PARTS * n_threads)]
            Parallel(n_jobs=n_jobs, require="sharedmem")(map(delayed(fit), parts))
        todo = np.flatnonzero(~(gaps <= tol) & (n_iter < max_iter))
    if len(todo):
        # Passes get nowhere where many rows share few features, and Newton's method does.
        NewtonGroups(X, runs, cost, factor, tables).solve(todo, wanted, most, n_iter, gaps)
    tables = tables._replace(
        weight=weight.astype(dtype, copy=False), bias=bias.astype(dtype, copy=False)
    )
    return Fitted(tables, int(n_iter.max(initial=0)), bool((gaps <= tol).all()))


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
