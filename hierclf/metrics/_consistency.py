"""Whether predictions contradict the hierarchy, whatever is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.closure import close_sets
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import plain_array
from hierclf.hierarchy._readers import clean_path, iter_rows
from hierclf.metrics._read import blame, read_sets, read_weight, tell_apart


def consistency_score(
    y_pred: Any, *, hierarchy: Any, sample_weight: ArrayLike | None = None
) -> float:
    """Compute the share of samples whose predicted nodes do not contradict each other.

    One minus it is the rate of hierarchy violations.

    Parameters
    ----------
    y_pred : {array-like, sparse matrix} of shape (n_samples, n_nodes) or (n_samples, n_levels)
        An indicator matrix, in which a row is consistent if every node in it comes with all of
        its ancestors; or one node for each level, the top level first, such as
        ``predict(X, level=k)`` in column k. Then a row is consistent if each node is a child of
        the one before, or the same leaf again. Rows may end early, padded as paths are.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the samples.

    Returns
    -------
    float
        Between 0 and 1. A row of an indicator matrix that predicts nothing is consistent.

    Raises
    ------
    ValueError
        If labels are not in the hierarchy, shapes do not fit, or `y_pred` is 1-D labels, which
        cannot contradict each other.

    Examples
    --------
    The columns are animal, plant, cat and dog; the second row has a cat and no animal.

    >>> from hierclf.metrics import consistency_score
    >>> tree = {"animal": ["cat", "dog"], "plant": []}
    >>> consistency_score([[1, 0, 1, 0], [0, 1, 1, 0]], hierarchy=tree)
    0.5
    >>> by_level = [["animal", "cat"], ["plant", "cat"], ["plant", "plant"], ["animal", "dog"]]
    >>> consistency_score(by_level, hierarchy=tree)
    0.75
    """
    hierarchy = as_hierarchy(hierarchy)
    with blame("y_pred"):
        kind, rows = tell_apart(y_pred, hierarchy)
        if kind == "labels":
            raise ValueError(
                "expected an indicator matrix or a node for each level, got one label for each row"
            )
    if kind == "indicator":
        consistent = _are_closed(rows, hierarchy)
    else:
        with blame("y_pred"):
            consistent = _are_descents(rows, hierarchy)
    weight = read_weight(sample_weight, len(consistent))
    return float(np.average(consistent, weights=weight))


def _are_closed(rows: Any, hierarchy: Hierarchy) -> NDArray[np.bool_]:
    sets = read_sets(rows, "y_pred", hierarchy, close=False)
    closed = close_sets(sets, hierarchy)
    lacks_none: NDArray[np.bool_] = np.diff(sets.indptr) == np.diff(closed.indptr)
    return lacks_none


def _are_descents(rows: Any, hierarchy: Hierarchy) -> NDArray[np.bool_]:
    """Tell for each row of nodes whether each step is an edge, or stays at a leaf."""
    cleaned = [
        row if row and row[-1] in hierarchy else clean_path(row, number)
        for number, row in iter_rows(rows)
    ]
    cleaned = [_name_by_path(row, hierarchy) for row in cleaned]
    positions = hierarchy.node_indices(plain_array([node for row in cleaned for node in row]))
    row_of = np.repeat(np.arange(len(cleaned)), [len(row) for row in cleaned])
    steps = np.flatnonzero(np.diff(row_of) == 0)
    above, below = positions[steps], positions[steps + 1]

    width = len(hierarchy) + 1
    edges = (hierarchy.arrays.edge_parents + 1) * width + hierarchy.arrays.edge_children + 1
    is_edge = np.isin((above + 1) * width + below + 1, edges)
    stays = (above == below) & (hierarchy.heights[above] == 0)
    consistent = np.ones(len(cleaned), dtype=bool)
    consistent[row_of[steps[~(is_edge | stays)]]] = False
    return consistent


def _name_by_path(row: Sequence[Any], hierarchy: Hierarchy) -> list[Any]:
    """Replace a name that occurs in several branches by the node that the path so far leads to."""
    nodes = list(row)
    for k, name in enumerate(row):
        if name not in hierarchy:
            try:
                nodes[k] = hierarchy.leaves_from_paths([row[: k + 1]]).tolist()[0]
            except ValueError:
                break  # no such path: the look-up names what is unknown
    return nodes
