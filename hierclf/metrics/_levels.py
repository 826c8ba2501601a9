"""How far down predictions are right: on a level, or at the depth where they stop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.metrics._read import Nodes, read_nodes


def level_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    level: int | str | None,
    sample_weight: ArrayLike | None = None,
) -> float | NDArray[np.float64]:
    """Compute the share of samples whose true and predicted node agree on a level.

    A leaf above the level stands for itself. An inner node that is predicted above the level is
    wrong. Samples whose true label is an inner node above it are left out, since the truth on the
    level is not known.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy, a tree; in a DAG "leaf" is the only level.
    level : int, "leaf" or "parent", or None
        0 is the top level, -1 or "leaf" the leaves, -2 or "parent" the level above them. None
        is every level.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float, or ndarray of shape (n_levels,) if `level` is None
        The top level first; NaN for a level on which no true label is known.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, there is no such level, or no true
        label is known on the level that is asked for.

    Examples
    --------
    >>> from hierclf.metrics import level_accuracy_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> y_true, y_pred = ["cat", "cat", "oak", "dog"], ["cat", "dog", "oak", "animal"]
    >>> level_accuracy_score(y_true, y_pred, hierarchy=tree, level=0)
    1.0
    >>> level_accuracy_score(y_true, y_pred, hierarchy=tree, level=None)
    array([1. , 0.5])
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight)
    hierarchy = rows.hierarchy
    if level is None:
        return np.array([_level_accuracy(rows, k) for k in range(hierarchy.n_levels)])
    accuracy = _level_accuracy(rows, level)
    if np.isnan(accuracy):
        raise ValueError(no_truth(level))
    return accuracy


def _level_accuracy(rows: Nodes, level: int | str) -> float:
    on_level = ancestors_on_level(rows.hierarchy, level)
    true, predicted = on_level[rows.true], on_level[rows.predicted]
    weight = rows.weight * (true >= 0)
    return float(np.average(true == predicted, weights=weight)) if weight.any() else np.nan


def ancestors_on_level(hierarchy: Hierarchy, level: int | str) -> NDArray[np.intp]:
    """Return the node of a level at or above each node, -1 for nodes above the level."""
    # Not a column of `path_indices`: a leaf above the level stands for itself on it, and in a DAG
    # inner nodes may have several paths though the level of the leaves is defined.
    items, above = hierarchy.ancestor_pairs(np.arange(len(hierarchy)))
    there = np.zeros(len(hierarchy), dtype=bool)
    there[hierarchy.level_indices(level)] = True
    result = np.full(len(hierarchy), -1)
    result[items[there[above]]] = above[there[above]]
    return result


def no_truth(level: int | str) -> str:
    """Return the message for a level that no true label of positive weight reaches."""
    return f"y_true: no label of positive weight reaches level {level!r}"


def any_depth_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    reject_label: Any = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the share of samples whose prediction is the true node or an ancestor of it.

    This is the accuracy of a classifier that may stop above the leaves [1]_. It does not say how
    specific predictions are, so read it together with :func:`information_gain_score`.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    reject_label : object, optional
        What `y_pred` holds where there is no answer, as a label or as the only label of a
        path; see :class:`hierclf.decisions.Threshold`. It is scored as the root: right, and
        saying nothing.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        Between 0 and 1. A prediction below the true node counts as wrong.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, or shapes do not fit.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

    Examples
    --------
    >>> from hierclf.metrics import any_depth_accuracy_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> y_pred = ["cat", "animal", "dog", "plant"]
    >>> any_depth_accuracy_score(["cat"] * 4, y_pred, hierarchy=tree)
    0.5
    >>> y_pred = ["cat", "animal", "dog", "unknown"]
    >>> any_depth_accuracy_score(["cat"] * 4, y_pred, hierarchy=tree, reject_label="unknown")
    0.75
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight, reject_label)
    return rows.mean(rows.hierarchy.are_at_or_above(rows.predicted, rows.true))


def information_gain_score(
    y_true: Any,
    y_pred: Any,
    *,
    hierarchy: Any,
    reject_label: Any = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Compute how much information right predictions give, as a share of that of a leaf.

    A prediction :math:`v` that is the true node or an ancestor of it gives
    :math:`1 - \log |\text{leaves}(v)| / \log L`, where :math:`L` is the number of leaves [1]_.
    Any other prediction gives 0. The score is the mean over samples.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    reject_label : object, optional
        What `y_pred` holds where there is no answer, as a label or as the only label of a
        path; see :class:`hierclf.decisions.Threshold`. It is scored as the root: right, and
        saying nothing.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        Between 0 and 1: 1 if every leaf is predicted right. Where all predictions are leaves, it
        is the accuracy.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, or shapes do not fit.

    See Also
    --------
    any_depth_accuracy_score : The same with 1 for every right prediction.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

    Examples
    --------
    Of four leaves, animal leaves two open: half of the two bits that single one out.

    >>> from hierclf.metrics import information_gain_score
    >>> tree = {"animal": ["cat", "dog"], "plant": ["ivy", "oak"]}
    >>> information_gain_score(["cat"] * 3, ["cat", "animal", "dog"], hierarchy=tree)
    0.5
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight, reject_label)
    gain = np.append(information_of_nodes(rows.hierarchy), 0.0)  # the last is the root's, at -1
    right = rows.hierarchy.are_at_or_above(rows.predicted, rows.true)
    return rows.mean(np.where(right, gain[rows.predicted], 0))


def information_of_nodes(hierarchy: Hierarchy) -> NDArray[np.float64]:
    """Return how much of the way from the root to a single leaf each node tells, from 0 to 1."""
    bits = np.log2(hierarchy.leaf_counts)
    # Of a single leaf nothing is left to tell, and no node leaves anything open.
    gain: NDArray[np.float64] = 1 - bits / max(np.log2(len(hierarchy.leaves)), 1)
    return gain
