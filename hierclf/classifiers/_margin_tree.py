"""A tree of margins: which nodes have one, what it learns from, and how leaves add them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from hierclf._utils.blocks import by_blocks
from hierclf.hierarchy import Hierarchy

# Where the likeliest scale is looked for, and what it is where no sample can tell.
_LOWEST, _HIGHEST, DEFAULT_SCALE = 0.1, 50.0, 5.0
_SCALE_STEPS, _SCALE_EXACT = 60, 1e-12
# Samples held out to find it: at the least, a share of all, and at the most.
_LEAST_HELD_OUT, _HELD_OUT, _MOST_HELD_OUT = 50, 0.1, 2000


class MarginTree(NamedTuple):
    """The columns, one margin each: the leaves, then inner nodes that part the leaves.

    Attributes
    ----------
    nodes : ndarray of shape (n_columns,)
        Their positions in ``hierarchy.nodes``.
    n_leaves : int
        How many of them are leaves.
    leaf, inner : ndarray of shape (n_pairs,)
        The pairs of a leaf and an inner node above it, as columns.
    sides : csc_array of shape (n_labels, n_columns)
        What a sample of each label is in each column: 1 on the positive side, 2 unknown, since it
        is only known to be at an inner node that has leaves in common, and 0 on the negative side.
    """

    nodes: NDArray[np.intp]
    n_leaves: int
    leaf: NDArray[np.intp]
    inner: NDArray[np.intp]
    sides: sp.csc_array

    @classmethod
    def of(cls, hierarchy: Hierarchy, labelled: NDArray[np.intp]) -> MarginTree:
        """Find the columns of a hierarchy whose nodes at some positions are labels.

        An inner node with all leaves below it tells nothing, and one with a single child the same
        as that child: these have none.
        """
        arrays = hierarchy.arrays
        leaves = hierarchy.leaf_indices
        n_children = np.diff(arrays.down.offsets)[1:]
        parts = (n_children > 1) & (hierarchy.leaf_counts < len(leaves))
        nodes = np.concatenate([leaves, np.flatnonzero(parts)])
        column: NDArray[np.intp] = np.full(len(hierarchy), -1)
        column[nodes] = np.arange(len(nodes))

        item, above = hierarchy.ancestor_pairs(leaves)
        shape = (len(hierarchy), len(leaves))
        below = sp.csr_array((np.ones(len(item), np.int32), (above, item)), shape=shape)
        is_inner = column[above] >= len(leaves)
        leaf, inner = item[is_inner], column[above[is_inner]]

        item, above = hierarchy.ancestor_pairs(labelled)
        is_column = column[above] >= 0
        positive = item[is_column], column[above[is_column]]
        # A sample may be below each node that has leaves in common with its label.
        coarse = np.flatnonzero(~np.isin(labelled, leaves))
        which, other = (below[labelled[coarse]] @ below[nodes].T).nonzero()
        code = coarse[which]
        is_unknown = ~np.isin(code * len(nodes) + other, positive[0] * len(nodes) + positive[1])
        values = np.repeat([1, 2], [len(positive[0]), is_unknown.sum()]).astype(np.int8)
        codes = np.concatenate([positive[0], code[is_unknown]])
        columns = np.concatenate([positive[1], other[is_unknown]])
        sides = sp.csc_array((values, (codes, columns)), shape=(len(labelled), len(nodes)))
        return cls(nodes, len(leaves), leaf, inner, sides)

    def weigh(
        self,
        codes: NDArray[np.intp],
        weight: NDArray[np.float64],
        label_weight: NDArray[np.float64] | None,
    ) -> ColumnWeights:
        """Weigh the samples of each column.

        Parameters
        ----------
        codes : ndarray of shape (n_samples,)
            The label of each sample.
        weight : ndarray of shape (n_samples,)
            Its weight.
        label_weight : ndarray of shape (n_labels,), optional
            What the weight of its positive samples is multiplied with. None: with what gives all
            columns of leaves, and all of inner nodes, the same positive weight.
        """
        n_labels, n_columns = self.sides.shape
        totals: Any = np.bincount(codes, weights=weight, minlength=n_labels)
        labels, column = (
            self.sides.indices,
            np.repeat(np.arange(n_columns), np.diff(self.sides.indptr)),
        )
        is_positive = self.sides.data == 1

        def sums(of: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
            found: Any = np.bincount(column[of], weights=values[labels[of]], minlength=n_columns)
            sum_of_each: NDArray[np.float64] = found
            return sum_of_each

        positive, unknown = sums(is_positive, totals), sums(~is_positive, totals)
        negative = totals.sum() - positive - unknown
        factor = np.ones(n_columns)
        if label_weight is None:
            width = np.where(
                np.arange(n_columns) < self.n_leaves, self.n_leaves, n_columns - self.n_leaves
            )
            known = positive + negative
            np.divide(known, width * positive, out=factor, where=positive > 0)
            label_weight = np.ones(n_labels)
        positive = sums(is_positive, totals * label_weight) * factor
        both = positive + negative
        share = np.divide(positive, both, out=np.zeros(n_columns), where=both > 0)
        return ColumnWeights(self, codes, weight, label_weight, factor, share)

    def fold(self, values: NDArray[Any], path_weight: float) -> NDArray[Any]:
        """Add what the inner nodes have, times a weight, to each leaf below them, in place.

        Parameters
        ----------
        values : ndarray of shape (n_columns, ...)
            A row for each column.
        path_weight : float
            The weight.

        Returns
        -------
        ndarray of shape (n_leaves, ...)
            The rows of the leaves.
        """
        leaves = values[: self.n_leaves]
        order = np.argsort(self.inner, kind="stable")
        ends = np.searchsorted(self.inner[order], np.arange(self.n_leaves, len(values) + 1))
        for node, (start, stop) in enumerate(pairwise(ends.tolist()), self.n_leaves):
            leaves[self.leaf[order[start:stop]]] += path_weight * values[node]
        return leaves


class ColumnWeights(NamedTuple):
    """The side and weight of each sample in each column.

    Attributes
    ----------
    tree : MarginTree
        The columns.
    codes, weight : ndarray of shape (n_samples,)
        The label of each sample, and its weight.
    label_weight, factor : ndarray of shape (n_labels,), (n_columns,)
        What the weight of a positive sample is multiplied with.
    share : ndarray of shape (n_columns,)
        The share of the positive samples, by weight.
    """

    tree: MarginTree
    codes: NDArray[np.intp]
    weight: NDArray[np.float64]
    label_weight: NDArray[np.float64]
    factor: NDArray[np.float64]
    share: NDArray[np.float64]

    def sides(self, C: float) -> Callable[[slice], NDArray[np.float64]]:
        """Return what gives the sides of some columns, times C and the weights."""
        scaled = C * self.weight

        def of(columns: slice) -> NDArray[np.float64]:
            found = self.tree.sides[:, columns].toarray()
            positive = self.label_weight[:, None] * self.factor[columns]
            of_label = np.where(found == 1, positive, np.where(found == 2, 0.0, -1.0))
            result: NDArray[np.float64] = of_label[self.codes]
            result *= scaled[:, None]
            return result

        return of

    def log_shares(self) -> NDArray[np.float64]:
        """Return the logarithm of each leaf's share of the samples, by weight.

        A leaf without samples of its own counts as if it had one of mean weight.
        """
        leaves: Any = self.tree.sides[:, : self.tree.n_leaves]
        is_own = leaves == 1
        totals = np.bincount(self.codes, weights=self.weight, minlength=is_own.shape[0])
        own: NDArray[np.float64] = is_own.T @ totals
        own = np.where(own > 0, own, self.weight.mean())
        shares: NDArray[np.float64] = np.log(own / own.sum())
        return shares


class Scores(NamedTuple):
    """Scores of choices that they were solved without.

    Attributes
    ----------
    scores : ndarray of shape (n_choices, n_columns)
        The scores of what there was to choose from.
    column : ndarray of shape (n_choices,)
        What would have been right.
    weight : ndarray of shape (n_choices,)
        The weight of each.
    """

    scores: NDArray[np.float64]
    column: NDArray[np.intp]
    weight: NDArray[np.float64]


def likeliest_scale(choices: Sequence[Scores]) -> float:
    """Find the factor by which scores become logits that are as often right as they say.

    Parameters
    ----------
    choices : sequence of Scores
        Among all leaves, or among the nodes of groups of siblings.

    Returns
    -------
    float
        Where the log loss of the softmax is lowest, from 0.1 to 50, were it not for a penalty of
        half the squared logarithm of a fifth of it: that of a sample or so, so that few samples,
        all of which are right, are no reason to be all but certain.
    """
    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    usual = at = np.log(DEFAULT_SCALE)
    choices = [
        part._replace(scores=part.scores - part.scores.max(axis=1, keepdims=True))
        for part in choices
    ]
    for _ in range(_SCALE_STEPS):
        scale = np.exp(at)
        slope, curve = at - usual, 1.0
        for scores, column, weight in choices:
            proba = np.exp(scale * scores)
            proba /= proba.sum(axis=1, keepdims=True)
            mean = np.einsum("ij,ij->i", proba, scores)
            variance = np.einsum("ij,ij,ij->i", proba, scores, scores) - mean**2
            of_loss = scale * (weight @ (mean - scores[np.arange(len(column)), column]))
            slope += of_loss
            curve += of_loss + scale**2 * (weight @ variance)
        low, high = (low, at) if slope > 0 else (at, high)
        # Newton's step, or half the way to where it would lead out of what is left.
        wanted = at - slope / curve if curve > 0 else low
        wanted = wanted if low < wanted < high else (low + high) / 2
        is_there = abs(wanted - at) <= _SCALE_EXACT
        at = wanted
        if is_there:
            break
    return float(np.exp(at))


def samples_to_hold_out(X: Any, label: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose samples to hold out by what is in them, whatever their order.

    Equal samples are held out together, so that nothing is known of those that are, and a sample
    of weight 2 is held out where two equal ones would be. Each label keeps a sample.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The samples.
    label : ndarray of shape (n_samples,)
        Their labels; -1 for samples that cannot be held out.

    Returns
    -------
    ndarray of shape (n_held_out,)
        Row numbers, in ascending order: about a tenth of the samples that differ, but no less than
        50 and no more than 2000 where a third of them is as many.
    """
    factors = np.random.default_rng(0).standard_normal(X.shape[1])
    # A product of dense matrices may round equal rows in different ways.
    is_sparse: bool = sp.issparse(X)
    sums = X @ factors if is_sparse else by_blocks(lambda rows: (rows * factors).sum(axis=1), X)
    known = np.flatnonzero(label >= 0)
    # The last bits of the sum, as good as random, moved to the front.
    mixed = sums[known].astype(np.float64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    kinds, kind = np.unique(mixed, return_inverse=True)
    kind = kind.reshape(-1)
    order = np.lexsort((kind, label[known]))
    is_last = np.append(np.diff(label[known][order]) != 0, True)[: len(order)]
    candidates = np.setdiff1d(np.arange(len(kinds)), kind[order[is_last]])
    size = int(np.clip(_HELD_OUT * len(kinds), _LEAST_HELD_OUT, _MOST_HELD_OUT))
    chosen = candidates[: min(size, len(kinds) // 3)]
    return known[np.isin(kind, chosen)]
