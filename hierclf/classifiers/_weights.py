"""What each row weighs: its own weight times that of its class."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.sklearn_private import check_sample_weight
from hierclf.classifiers._targets import Targets
from hierclf.hierarchy import Hierarchy


def drop_zero_weights(
    X: Any, y: NDArray[Any], sample_weight: ArrayLike
) -> tuple[Any, NDArray[Any], NDArray[Any]]:
    """Check weights, leave out the rows that have none, and scale the largest to 1."""
    weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    present = weight > 0
    if not present.any():
        raise ValueError("sample_weight is 0 for every row: there is nothing to learn from")
    if not present.all():
        X, y, weight = X[present], y[present], weight[present]
    return X, y, weight / weight.max()  # only the ratios count, and sums stay finite


def combine_weights(
    class_weight: Any,
    sample_weight: NDArray[Any] | None,
    targets: Targets,
    hierarchy: Hierarchy,
) -> NDArray[Any] | None:
    """Multiply class weights and sample weights, and scale them to a mean of 1.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        As the user gave it.
    sample_weight : ndarray of shape (n_rows,) or None
        Positive weights.
    targets : Targets
        The nodes of the rows.
    hierarchy : Hierarchy
        The hierarchy as it was given, whose nodes the keys are.

    Returns
    -------
    ndarray of shape (n_rows,) or None
        None where all rows weigh the same.
    """
    if class_weight is None and sample_weight is None:
        return None
    weight = np.ones(len(targets.codes)) if sample_weight is None else sample_weight
    if class_weight == "balanced":
        weight = weight * _balanced(targets, weight)[targets.codes]
    elif class_weight is not None:
        weight = weight * _of_labels(class_weight, targets, hierarchy)[targets.codes]
    total = weight.sum()
    if not total > 0:
        raise ValueError("the class weights of all classes in y are 0: nothing to learn from")
    scaled: NDArray[Any] = weight * (len(weight) / total)
    return scaled


def _balanced(targets: Targets, weight: NDArray[Any]) -> NDArray[Any]:
    """Weigh labels so that all leaves count the same in total.

    A row known only as far as an inner node counts as a row of a leaf below it does on
    average; where there is none, as a row does on average over all leaves.
    """
    hierarchy, labelled = targets.hierarchy, targets.labelled
    totals = np.bincount(targets.codes, weights=weight)
    is_leaf = np.isin(labelled, hierarchy.leaf_indices)
    if not is_leaf.any():
        return np.ones(len(labelled))
    item, above = hierarchy.ancestor_pairs(labelled[is_leaf])
    n_leaves = np.bincount(above, minlength=len(hierarchy))[labelled]
    total = np.bincount(above, weights=totals[is_leaf][item], minlength=len(hierarchy))[labelled]
    on_average = is_leaf.sum() / totals[is_leaf].sum()
    weights = np.full(len(labelled), on_average)
    np.divide(n_leaves, total, out=weights, where=n_leaves > 0)
    return weights


def _of_labels(
    class_weight: dict[Any, float], targets: Targets, hierarchy: Hierarchy
) -> NDArray[Any]:
    """Look up the weight of each label: its own, else that of the nearest node above it."""
    unknown = [key for key in class_weight if key not in hierarchy]
    if unknown:
        raise ValueError(
            f"class_weight has keys that are no labels: {unknown[:5]!r}; "
            f"labels are such as {targets.classes.tolist()[:3]!r}"
        )
    for label, given in class_weight.items():
        if not isinstance(given, Real) or not 0 <= given < np.inf:
            raise ValueError(
                f"class_weight must be finite and not negative, got {given!r} for {label!r}"
            )
    nodes = targets.hierarchy.nodes
    weights = []
    for label in (nodes[i] for i in targets.labelled.tolist()):
        keys = [node for node in (label, *hierarchy.ancestors(label)) if node in class_weight]
        nearest = min(keys, key=lambda key: hierarchy.distance(label, key), default=None)
        weights.append(1.0 if nearest is None else class_weight[nearest])
    return np.array(weights, dtype=float)
