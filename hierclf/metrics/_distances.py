"""How far the predicted node is from the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.metrics._read import read_nodes


def tree_distance(
    y_true: Any, y_pred: Any, *, hierarchy: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Compute the mean number of edges between the true and the predicted node.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        0 is best. The way between two nodes goes up and then down; in a DAG it is the shortest.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, or shapes do not fit.

    Examples
    --------
    cat-animal-dog is 2 edges, cat-animal-root-plant 3, cat-animal 1 and cat-cat 0.

    >>> from hierclf.metrics import tree_distance
    >>> tree = {"animal": ["cat", "dog"], "plant": []}
    >>> tree_distance(["cat"] * 4, ["dog", "plant", "animal", "cat"], hierarchy=tree)
    1.5
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight)
    return rows.mean(rows.hierarchy.pair_distances(rows.true, rows.predicted))


def lca_height(
    y_true: Any, y_pred: Any, *, hierarchy: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Compute the mean height of the lowest common ancestor of the true and the predicted node.

    The hierarchical distance of [1]_, where labels are leaves.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        The height of a node is the number of edges on the longest way down to a leaf: 0 for a
        leaf that is predicted right, ``hierarchy.depth`` if only the root is common. An inner
        node that is predicted right costs its own height.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, or shapes do not fit.

    See Also
    --------
    mistake_severity : The mean over mistakes alone.
    hierarchical_distance_at_k : The mean over the k likeliest classes.

    References
    ----------
    .. [1] L. Bertinetto et al., "Making Better Mistakes: Leveraging Class Hierarchies with Deep
       Networks", CVPR 2020.

    Examples
    --------
    The animals meet one edge above the leaves, cat and plant in the root, two edges above.

    >>> from hierclf.metrics import lca_height
    >>> tree = {"animal": ["cat", "dog"], "plant": []}
    >>> lca_height(["cat"] * 3, ["dog", "plant", "cat"], hierarchy=tree)
    1.0
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight)
    return rows.mean(lca_heights(rows.hierarchy, rows.true, rows.predicted))


def mistake_severity(
    y_true: Any, y_pred: Any, *, hierarchy: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Compute the mean of :func:`lca_height` over the samples predicted wrong.

    It says how bad mistakes are, not how many. A classifier with more mistakes may have a lower
    severity, if most of them are between neighbours, so report it beside :func:`lca_height` or
    accuracy.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
        Labels or paths; see :mod:`hierclf.metrics`.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        From 1, for leaves that share a parent in a tree, to ``hierarchy.depth``; 0 if there are
        no mistakes. Any node but the true one is a mistake, an ancestor of it too.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, or shapes do not fit.

    Examples
    --------
    Two mistakes, of height 1 and 2.

    >>> from hierclf.metrics import mistake_severity
    >>> tree = {"animal": ["cat", "dog"], "plant": []}
    >>> mistake_severity(["cat"] * 4, ["dog", "plant", "cat", "cat"], hierarchy=tree)
    1.5
    """
    rows = read_nodes(y_true, y_pred, hierarchy, sample_weight)
    weight = rows.weight * (rows.true != rows.predicted)
    if not weight.any():
        return 0.0
    heights = lca_heights(rows.hierarchy, rows.true, rows.predicted)
    return float(np.average(heights, weights=weight))


def lca_heights(hierarchy: Hierarchy, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the height of the lowest common ancestor of each pair of positions."""
    heights = np.append(hierarchy.heights, hierarchy.depth)  # the last is the root's, at -1
    return heights[hierarchy.lca_indices(a, b)]
