"""Which thresholds of nodes give the best F on some samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.metrics._sets import Average

# What a node scores that has no column of its own. No threshold is as low.
NO_COLUMN = -1.0
# An improvement, and not a matter of rounding.
_TOLERANCE = 1e-10


def raise_to_parents(values: NDArray[Any], hierarchy: Hierarchy) -> NDArray[Any]:
    """Give each node the largest value among its own and those of the nodes below it.

    Parameters
    ----------
    values : ndarray of shape (n_nodes, n)
        Numbers or booleans, which are changed in place.
    hierarchy : Hierarchy
        The hierarchy.

    Returns
    -------
    ndarray of shape (n_nodes, n)
        The array itself.
    """
    arrays = hierarchy.arrays
    inner, offsets = arrays.inner_indices[1:], arrays.group_offsets[1:]
    # Children are deeper than their parents, so that from the bottom up each has its value.
    bounds = np.searchsorted(arrays.depths[inner], np.arange(1, arrays.n_levels + 2))
    for first, last in reversed(list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))):
        if first < last:
            children = arrays.edge_children[offsets[first] : offsets[last]]
            starts = offsets[first:last] - offsets[first]
            largest = np.maximum.reduceat(values[children], starts, axis=0)
            values[inner[first:last]] = np.maximum(values[inner[first:last]], largest)
    return values


class Curve(NamedTuple):
    """How good predictions are at each threshold that makes a difference, the highest first.

    Attributes
    ----------
    heights : ndarray of shape (n_heights,)
        Scores, falling. A threshold above the first chooses nothing; one that is between two
        of them, or equal to the upper, chooses what scores as much as the upper or more.
    values : ndarray of shape (n_heights + 1,)
        The F of nothing, and of what scores as much as each height or more.
    """

    heights: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64], values: NDArray[np.float64], nothing: float) -> Curve:
        """Keep the last of equal scores, which are given in falling order with their F."""
        is_last = np.ones(len(scores), dtype=bool)  # there may be none
        is_last[:-1] = scores[1:] != scores[:-1]
        kept = np.flatnonzero(is_last & (scores > NO_COLUMN))
        return cls(scores[kept], np.append(nothing, values[kept]))

    def choices(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return thresholds, each in the middle between two heights, and the F of each."""
        above = np.append(max(1.0, self.heights[0]) if len(self.heights) else 1.0, self.heights)
        below = np.append(self.heights, 0.0)
        middle = below + (above - below) / 2
        thresholds = np.where(middle > below, middle, above)
        # No threshold is above a score of 1.
        first = int(len(self.heights) > 0 and self.heights[0] >= 1)
        return thresholds[first:], self.values[first:]

    def value_at(self, threshold: float) -> float:
        """Return the F at a threshold."""
        n_reached = np.searchsorted(-self.heights, -threshold, side="right")
        return float(self.values[n_reached])

    def best(self) -> tuple[float, float]:
        """Return the best threshold, the highest of equals, and its F."""
        thresholds, values = self.choices()
        best = int(values.argmax())
        return float(thresholds[best]), float(values[best])


class ThresholdSearch:
    """Looks for the thresholds with the best F on some samples.

    A node is chosen if it or a node below it scores its threshold or more.

    Parameters
    ----------
    scores : ndarray of shape (n_nodes, n), dtype float64
        What each node scores in each sample, from 0; :data:`NO_COLUMN` where nothing is known.
    truth : ndarray of shape (n_nodes, n), dtype bool
        Which nodes each sample has, all above each among them.
    weight : ndarray of shape (n,)
        Weights of the samples, positive.
    hierarchy : Hierarchy
        The hierarchy.
    average : {"micro", "macro", "samples"}
        As for :func:`hierclf.metrics.hierarchical_f1_score`.
    recall_share : float
        The share of the true nodes in what the shared ones are divided by: 0.5 for F1.
    """

    def __init__(
        self,
        scores: NDArray[np.float64],
        truth: NDArray[np.bool_],
        weight: NDArray[np.float64],
        hierarchy: Hierarchy,
        *,
        average: Average,
        recall_share: float,
    ) -> None:
        self.scores, self.truth, self.weight = scores, truth, weight
        self.hierarchy, self.average, self.recall_share = hierarchy, average, recall_share
        n_nodes = len(hierarchy)
        items, above = hierarchy.ancestor_pairs(np.arange(n_nodes))
        self._above = np.split(above, np.cumsum(np.bincount(items, minlength=n_nodes))[:-1])
        ones = np.ones(len(items), dtype=np.int32)
        self._spread = sp.csr_array((ones, (above, items)), shape=(n_nodes, n_nodes))
        self._n_true = self._count(truth)
        # Each of what F is the mean of: all, a node, or a sample.
        self._share = {
            "micro": np.ones(1),
            "macro": np.full(n_nodes, 1 / n_nodes),
            "samples": weight / weight.sum(),
        }[average]

    # -- one threshold for all

    def common(self) -> Curve:
        """Return the curve of one threshold for all nodes."""
        raised = raise_to_parents(self.scores.copy(), self.hierarchy)
        nothing = np.zeros(len(self._n_true))
        active = np.ones(raised.shape, dtype=bool)
        return self._curve_of_cells(raised, active, np.arange(len(raised)), nothing, nothing)

    # -- each in turn

    def improve(
        self, thresholds: NDArray[np.float64], units: list[NDArray[np.intp]], max_passes: int
    ) -> NDArray[np.float64]:
        """Set the threshold of each group of nodes to the best beside the others, in turn.

        Parameters
        ----------
        thresholds : ndarray of shape (n_nodes,)
            Where to start; equal in a group.
        units : list of ndarray
            The groups. Each pass goes through them in this order, until one changes nothing.
        max_passes : int
            How many passes there may be.

        Returns
        -------
        ndarray of shape (n_nodes,)
        """
        thresholds = thresholds.copy()
        reached = self.scores >= thresholds[:, None]
        # How many nodes at or below each have reached their threshold, in each sample.
        support = self._spread @ reached.astype(np.int32)
        for _ in range(max_passes):
            is_changed = False
            self._n_chosen = self._count(support > 0)
            self._n_shared = self._count((support > 0) & self.truth)
            for unit in units:
                is_changed |= self._improve_one(unit, thresholds, reached, support)
            if not is_changed:
                break
        return thresholds

    def _improve_one(
        self,
        unit: NDArray[np.intp],
        thresholds: NDArray[np.float64],
        reached: NDArray[np.bool_],
        support: NDArray[np.int32],
    ) -> bool:
        is_single = len(unit) == 1
        columns = np.unique(np.concatenate([self._above[i] for i in unit.tolist()]))

        def support_of_unit() -> NDArray[np.int32]:
            there = reached[unit].astype(np.int32)
            if is_single:  # it is below each of the columns, so that its row serves all
                return there
            return np.asarray(self._spread[columns][:, unit] @ there)

        own = support_of_unit()
        # What no other node chooses depends on this threshold.
        active = support[columns] == own
        lost, groups = active & (own > 0), columns if self.average == "macro" else slice(None)
        n_chosen, n_shared = self._n_chosen.copy(), self._n_shared.copy()
        n_chosen[groups] -= self._count(lost)
        n_shared[groups] -= self._count(lost & self.truth[columns])
        if is_single:
            curve = self._curve_of_rows(self.scores[unit[0]], active, columns, n_chosen, n_shared)
        else:
            raised = np.full_like(self.scores, NO_COLUMN)
            raised[unit] = self.scores[unit]
            raised = raise_to_parents(raised, self.hierarchy)[columns]
            curve = self._curve_of_cells(raised, active, columns, n_chosen, n_shared)
        best, value = curve.best()
        if value <= curve.value_at(float(thresholds[unit[0]])) + _TOLERANCE:
            return False
        thresholds[unit] = best
        reached[unit] = self.scores[unit] >= best
        now = support_of_unit()
        support[columns] += now - own
        n_chosen[groups] += self._count(active & (now > 0))
        n_shared[groups] += self._count(active & (now > 0) & self.truth[columns])
        self._n_chosen, self._n_shared = n_chosen, n_shared
        return True

    # -- curves

    def _curve_of_cells(
        self,
        scores: NDArray[np.float64],
        active: NDArray[np.bool_],
        columns: NDArray[np.intp],
        n_chosen: NDArray[np.float64],
        n_shared: NDArray[np.float64],
    ) -> Curve:
        """Return the curve where each cell of some nodes and all samples has a score of its own.

        Parameters
        ----------
        scores : ndarray of shape (n_columns, n)
            What must reach the threshold for a node to be chosen.
        active : ndarray of shape (n_columns, n), dtype bool
            Where that makes a difference.
        columns : ndarray of shape (n_columns,)
            The nodes.
        n_chosen, n_shared : ndarray
            The weights of chosen nodes, and of those of them that are true, where no score
            reaches the threshold: of all, of each node or of each sample.
        """
        # Each cell adds the weight of its sample, in whose own F it is a node like others.
        weight = np.ones_like(self.weight) if self.average == "samples" else self.weight
        parts: list[NDArray[Any]] = [scores, active * weight]
        parts.append(parts[1] * self.truth[columns])
        if self.average == "samples":
            parts = [part.T for part in parts]
        elif self.average == "micro":
            parts = [part[active][None] for part in parts]
        groups = columns if self.average == "macro" else slice(None)
        order = np.argsort(-parts[0], axis=1)
        scores, chosen, shared = (np.take_along_axis(part, order, axis=1) for part in parts)
        before = self._f(n_shared, n_chosen, self._n_true)
        nothing = float(self._share @ before)
        after = self._f(
            n_shared[groups, None] + np.cumsum(shared, axis=1),
            n_chosen[groups, None] + np.cumsum(chosen, axis=1),
            self._n_true[groups, None],
        )
        changes = np.diff(after, axis=1, prepend=before[groups, None])
        changes *= self._share[groups, None]
        changes, scores = changes.ravel(), scores.ravel()
        if len(order) > 1:
            order = np.argsort(-scores)
            changes, scores = changes[order], scores[order]
        return Curve.of(scores, nothing + np.cumsum(changes), nothing)

    def _curve_of_rows(
        self,
        scores: NDArray[np.float64],
        active: NDArray[np.bool_],
        columns: NDArray[np.intp],
        n_chosen: NDArray[np.float64],
        n_shared: NDArray[np.float64],
    ) -> Curve:
        """Return the curve where all cells of a sample have the same score, of shape (n,).

        It is that of `_curve_of_cells`, which would sort as many cells.
        """
        order = np.argsort(-scores)
        shared = active & self.truth[columns]
        before = self._f(n_shared, n_chosen, self._n_true)
        nothing = float(self._share @ before)
        if self.average == "samples":
            after = self._f(n_shared + shared.sum(0), n_chosen + active.sum(0), self._n_true)
            values = nothing + np.cumsum((self._share * (after - before))[order])
        else:
            groups = columns if self.average == "macro" else slice(None)
            parts = [shared, active]
            if self.average == "micro":
                parts = [part.sum(axis=0, keepdims=True) for part in parts]
            n_shared, n_chosen = (
                start[groups, None] + np.cumsum((part * self.weight)[:, order], axis=1)
                for part, start in zip(parts, (n_shared, n_chosen), strict=True)
            )
            after = self._f(n_shared, n_chosen, self._n_true[groups, None])
            values = nothing + self._share[groups] @ (after - before[groups, None])
        return Curve.of(scores[order], values, nothing)

    def _count(self, cells: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the weight of the cells that are True: of all, of each node or each sample."""
        if self.average == "samples":
            return np.asarray(cells.sum(axis=0), dtype=np.float64)
        by_node: NDArray[np.float64] = cells @ self.weight
        if self.average == "macro":
            return by_node
        total: NDArray[np.float64] = by_node.sum(keepdims=True)
        return total

    def _f(
        self,
        n_shared: NDArray[np.float64],
        n_chosen: NDArray[np.float64],
        n_true: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return F, and 0 where there is nothing to divide by."""
        divisor = self.recall_share * n_true + (1 - self.recall_share) * n_chosen
        # What is left of a difference of sums is no weight.
        scores: NDArray[np.float64] = np.zeros_like(divisor)
        np.divide(n_shared, divisor, out=scores, where=divisor > 1e-12)
        return scores
