"""Metrics of what a classifier gives every class: scores to rank by, or probabilities."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.blocks import by_blocks
from hierclf._utils.proba import check_proba, check_scores
from hierclf._utils.sklearn_private import Interval, StrOptions, validate_parameter_constraints
from hierclf.hierarchy import as_hierarchy
from hierclf.metrics._distances import lca_heights
from hierclf.metrics._levels import ancestors_on_level, no_truth
from hierclf.metrics._read import (
    check_lengths,
    read_label_rows,
    read_positions,
    read_scores,
    read_weight,
)

# How far the probabilities of a row may be from a sum of 1: float16 keeps about 3 digits.
_TOLERANCE = 1e-2


def hierarchical_distance_at_k(
    y_true: Any,
    y_score: ArrayLike,
    *,
    hierarchy: Any,
    k: int | None = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the mean LCA height between the true node and the k likeliest classes.

    The hierarchical distance of [1]_. It shows whether the classes that come after the best one
    are near the true node, too. With ``k=1`` it is :func:`lca_height` of the best-scored class.

    It takes scores of all classes, or, where there are too many for that, the classes themselves,
    as ``predict_topk`` returns them.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    y_score : array-like of shape (n_samples, n_classes) or (n_samples, k)
        Probabilities, log-probabilities or other scores, higher for likelier classes. Of equal
        scores the first columns are taken. Without `k`, the labels of the k likeliest classes of
        each sample, as ``predict_topk(X, k)`` returns them first.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    k : int, optional
        How many classes of those that have scores; at most the number of columns. None: `y_score`
        holds labels, and all of them count.
    labels : array-like of shape (n_classes,), optional
        What the columns of scores stand for: ``classes_`` of the classifier. None is the leaves of
        the hierarchy, sorted (if they cannot be, in node order).
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        0 is the best value for ``k=1``. For a higher `k` the other classes add their heights.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, scores are NaN, `k` is wrong, or
        `labels` are given without it.

    References
    ----------
    .. [1] L. Bertinetto et al., "Making Better Mistakes: Leveraging Class Hierarchies with Deep
       Networks", CVPR 2020.

    Examples
    --------
    The best two are cat, which is right, and dog, whose parent is also that of cat: (0 + 1) / 2.

    >>> from hierclf.metrics import hierarchical_distance_at_k
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> y_score = [[0.6, 0.3, 0.1]]  # cat, dog, oak
    >>> hierarchical_distance_at_k(["cat"], y_score, hierarchy=tree, k=2)
    0.5
    >>> hierarchical_distance_at_k(["cat"], y_score, hierarchy=tree, k=3)
    1.0

    The same from labels, such as those of ``labels, proba = clf.predict_topk(X, 2)``:

    >>> hierarchical_distance_at_k(["cat"], [["cat", "dog"]], hierarchy=tree)
    0.5
    """
    validate_parameter_constraints(
        {"k": [Interval(Integral, 1, None, closed="left"), None]},
        {"k": k},
        caller_name="hierarchical_distance_at_k",
    )
    hierarchy = as_hierarchy(hierarchy)
    true = read_positions(y_true, "y_true", hierarchy)
    if k is None:
        if labels is not None:
            raise ValueError("labels name columns of scores: give k, how many of the best count")
        best = read_label_rows(y_score, "y_score", hierarchy)
        check_lengths(len(true), "y_score", len(best))
    else:
        scores, columns = read_scores(y_score, "y_score", labels, hierarchy, check_scores)
        check_lengths(len(true), "y_score", len(scores))
        if k > len(columns):
            raise ValueError(f"k={k}, and there are {len(columns)} classes to choose from")
        best = columns[by_blocks(lambda some: _best_columns(some, k), scores)]
    weight = read_weight(sample_weight, len(true))
    width = best.shape[1]
    heights = lca_heights(hierarchy, np.repeat(true, width), best.ravel())
    return float(np.average(heights.reshape(-1, width).mean(axis=1), weights=weight))


def _best_columns(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Return the columns of the k best scores of each row, in column order."""
    n_classes = scores.shape[1]
    least = np.partition(scores, n_classes - k, axis=1)[:, n_classes - k, None]
    chosen = scores >= least
    tied = np.flatnonzero(chosen.sum(axis=1) > k)
    if len(tied):
        better, equal = scores[tied] > least[tied], scores[tied] == least[tied]
        n_equal = k - better.sum(axis=1, keepdims=True)
        chosen[tied] = better | (equal & (np.cumsum(equal, axis=1) <= n_equal))
    return np.nonzero(chosen)[1].reshape(len(scores), k)


def level_calibration_error(
    y_true: Any,
    y_proba: ArrayLike,
    *,
    hierarchy: Any,
    level: int | str,
    labels: ArrayLike | None = None,
    n_bins: int = 10,
    strategy: Literal["uniform", "quantile"] = "uniform",
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Compute the expected calibration error of the likeliest node of a level.

    The probabilities of the classes are added up to those of the nodes of the level. The largest
    of them is the confidence in a sample, and samples are put into bins by it. The error is
    :math:`\sum_b \frac{n_b}{n} |\text{accuracy}_b - \text{confidence}_b|` [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`. Samples whose label is above the level
        are left out.
    y_proba : array-like of shape (n_samples, n_classes)
        Probabilities; each row sums to 1.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy, a tree; in a DAG "leaf" is the only level.
    level : int, "leaf" or "parent"
        0 is the top level, -1 or "leaf" the leaves, -2 or "parent" the level above them.
    labels : array-like of shape (n_classes,), optional
        What the columns stand for: ``classes_`` of the classifier. None is the leaves of the
        hierarchy, sorted (if they cannot be, in node order).
    n_bins : int, default=10
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of the same width, or of about the same weight of samples. The upper bound of a bin
        belongs to it.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        Between 0 and 1; 0 is best.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, rows are no probabilities, a
        parameter is wrong, or no true label reaches the level.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    Of two animals with probability 0.75 each, one is one: ``abs(0.5 - 0.75)``.

    >>> from hierclf.metrics import level_calibration_error
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> y_proba = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]  # cat, dog, oak
    >>> level_calibration_error(["cat", "oak"], y_proba, hierarchy=tree, level=0)
    0.25
    """
    validate_parameter_constraints(
        {
            "n_bins": [Interval(Integral, 1, None, closed="left")],
            "strategy": [StrOptions({"uniform", "quantile"})],
        },
        {"n_bins": n_bins, "strategy": strategy},
        caller_name="level_calibration_error",
    )
    hierarchy = as_hierarchy(hierarchy)
    true = read_positions(y_true, "y_true", hierarchy)
    proba, columns = read_scores(y_proba, "y_proba", labels, hierarchy, check_proba)
    check_lengths(len(true), "y_proba", len(proba))
    _check_sums(proba)
    weight = read_weight(sample_weight, len(true))

    truth = ancestors_on_level(hierarchy, level)[true]
    known = (truth >= 0) & (weight > 0)
    if not known.any():
        raise ValueError(no_truth(level))
    names = [hierarchy.nodes[i] for i in columns.tolist()]
    on_level = hierarchy.aggregate(proba, names, level)
    on_columns = hierarchy.node_indices(hierarchy.level_classes(level))
    predicted = on_columns[on_level.argmax(axis=1)]
    # All rows so far, as picking some would copy the largest array.
    confidence = on_level.max(axis=1)[known].astype(np.float64)
    weight = weight[known]
    gap = weight * ((truth == predicted)[known] - confidence)

    if strategy == "uniform":
        inner_bounds = np.linspace(0, 1, n_bins + 1)[1:-1]
    else:
        inner_bounds = _quantiles(confidence, weight, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(inner_bounds, confidence)
    return float(np.abs(np.bincount(bins, weights=gap)).sum() / weight.sum())


def _check_sums(proba: NDArray[Any]) -> None:
    total = proba.sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(np.abs(total - 1) > _TOLERANCE)
    if len(bad):
        raise ValueError(
            f"row {bad[0]} of y_proba is no probability distribution: its sum is {total[bad[0]]:g}"
        )


def _quantiles(
    values: NDArray[np.float64], weight: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the least values that have at least some shares of the weight at or below them.

    Values are not interpolated, so that a weight of two is the same as the row twice.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    places = np.searchsorted(reached, shares * reached[-1])
    found: NDArray[np.float64] = values[order][places]
    return found
