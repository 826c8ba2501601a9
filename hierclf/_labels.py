"""What a user passes as y: labels or paths, read as nodes, and predictions in the same form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_labels, is_hashable, plain_array, sort_if_possible
from hierclf.hierarchy._readers import clean_path, iter_rows


class Targets(NamedTuple):
    """The nodes that the rows are labelled with, and the classes that can be predicted.

    Attributes
    ----------
    hierarchy : Hierarchy
        Pruned to what is above, at or below a label.
    classes : ndarray of shape (n_classes,)
        The leaves, sorted where they can be, in the dtype of y.
    class_positions : ndarray of shape (n_classes,)
        Their positions in ``hierarchy.nodes``.
    labelled : ndarray of shape (n_labels,)
        Positions in ``hierarchy.nodes`` of the labels that occur.
    codes : ndarray of shape (n_rows,)
        Which of them each row has.
    """

    hierarchy: Hierarchy
    classes: NDArray[Any]
    class_positions: NDArray[np.intp]
    labelled: NDArray[np.intp]
    codes: NDArray[np.intp]

    @property
    def nodes(self) -> NDArray[np.intp]:
        """The position in ``hierarchy.nodes`` of the node of each row."""
        return self.labelled[self.codes]

    def counts(self, weight: NDArray[Any] | None) -> NDArray[Any]:
        """Count the rows at or below each node of the hierarchy, or add up their weights."""
        totals = np.bincount(self.codes, weights=weight)
        label, above = self.hierarchy.ancestor_pairs(self.labelled)
        return np.bincount(above, weights=totals[label], minlength=len(self.hierarchy))


class Located(NamedTuple):
    """Labels that only a hierarchy can tell apart, found in it.

    Attributes
    ----------
    hierarchy : Hierarchy
        The hierarchy that was given, or that of the paths.
    positions : ndarray of shape (n_rows,)
        Positions in its ``nodes``.
    longest_path : int or None
        Length of the longest path; None where y held single labels.
    """

    hierarchy: Hierarchy
    positions: NDArray[np.intp]
    longest_path: int | None


def locate(y: Any, hierarchy: Any) -> Located | None:
    """Look up labels that are paths or tuples, which no array of labels can hold.

    Parameters
    ----------
    y : object
        The labels as the user gave them.
    hierarchy : object
        The hierarchy as the user gave it.

    Returns
    -------
    Located or None
        None where y holds plain labels, or nothing that could be labels. A single
        column is plain labels, as scikit-learn has it; tuples that are all nodes of a
        given `Hierarchy` are single labels.
    """
    longest_path = _path_length(y, hierarchy)
    holds_tuples = longest_path is None and any(type(row) is tuple for row in _objects(y))
    if longest_path is None and not holds_tuples:
        return None
    if hasattr(hierarchy, "fit"):
        raise ValueError(
            f"{hierarchy!r} builds a hierarchy for labels that can be sorted, and y holds "
            "paths or tuples: give it 1-D labels, such as the last label of each path"
        )
    if hierarchy is not None:
        found = as_hierarchy(hierarchy)
    else:
        found = Hierarchy.flat(dict.fromkeys(y)) if holds_tuples else Hierarchy.from_paths(y)
    labels = y if holds_tuples else found.leaves_from_paths(y)
    return Located(found, found.node_indices(labels), longest_path)


def _objects(y: Any) -> Any:
    """Return y if its items may be of any type, else nothing."""
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    is_flat = getattr(y, "ndim", 1) == 1
    return y if is_flat and (isinstance(y, (list, tuple)) or kind == "O") else ()


def _path_length(y: Any, hierarchy: Any) -> int | None:
    """Return the length of the longest path in y, or None where y holds single labels."""
    shape: tuple[int, ...] | None = getattr(y, "shape", None)
    if shape is not None and len(shape) != 1:
        return shape[1] if len(shape) == 2 and shape[1] > 1 else None
    rows = _objects(y)
    if not len(rows) or not all(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
        return None
    if isinstance(hierarchy, Hierarchy) and all(
        is_hashable(row) and row in hierarchy for row in rows
    ):
        return None
    longest = max(map(len, rows))
    return longest if longest > 1 else None


def read_targets(y: NDArray[Any], hierarchy: Hierarchy, *, are_positions: bool) -> Targets:
    """Look labels up in a hierarchy and prune it to them.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels, or positions in ``hierarchy.nodes``.
    hierarchy : Hierarchy
        The hierarchy as it was given.
    are_positions : bool
        Whether y holds positions.

    Returns
    -------
    Targets
        Positions in it are those of the pruned hierarchy.

    Raises
    ------
    ValueError
        If a label is not in the hierarchy.
    """
    names, codes = np.unique(y, return_inverse=True)
    before = names if are_positions else hierarchy.node_indices(names)
    labels = [hierarchy.nodes[i] for i in before.tolist()]
    pruned = hierarchy.prune(labels)
    labelled = pruned.node_indices(labels)
    leaves = pruned.leaf_indices
    if not are_positions and len(leaves) == len(labelled) and np.isin(labelled, leaves).all():
        classes, positions = names, labelled
    else:
        classes = plain_array(sort_if_possible(pruned.leaves) or pruned.leaves)
        positions = pruned.node_indices(classes)
        if not are_positions and (y.dtype == object or y.dtype.kind == classes.dtype.kind in "iu"):
            classes = classes.astype(y.dtype)
    return Targets(pruned, classes, positions, labelled, codes.reshape(-1))


def accuracy(y: Any, predicted: NDArray[Any], sample_weight: Any) -> float:
    """Return the share of rows whose label, or whole path, is right.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_levels), or list of lists
        True labels or paths, as they may be given to ``fit``.
    predicted : ndarray of shape (n_rows,) or (n_rows, n_levels)
        What ``predict`` returned.
    sample_weight : array-like of shape (n_rows,) or None
        Weights.

    Returns
    -------
    float
        In [0, 1].
    """
    if predicted.ndim == 2:
        true, found = (
            [tuple(clean_path(row, i)) for i, row in iter_rows(rows)] for rows in (y, predicted)
        )
    elif any(type(label) is tuple for label in predicted.tolist()):
        true, found = as_labels(y), as_labels(predicted)  # no array of which can be compared
    else:
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
    check_consistent_length(true, found)
    right = [label == other for label, other in zip(true, found, strict=True)]
    return float(accuracy_score(np.ones(len(right)), right, sample_weight=sample_weight))
