"""What a user passes as y: labels or paths, read as nodes, and predictions in the same form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._geometry import sums_below
from hierclf.hierarchy._nodes import (
    as_labels,
    is_hashable,
    is_missing,
    plain_array,
    sort_classes,
)
from hierclf.hierarchy._readers import clean_path, iter_rows

_SEQUENCES = (list, tuple, np.ndarray)


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
        """Count the rows at or below each node; with weights, of which only the ratios count."""
        totals = np.bincount(self.codes, weights=weight)
        totals = totals * (len(self.codes) / totals.sum())
        return sums_below(self.hierarchy.arrays, self.labelled, totals)


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
    """Look up labels that no array can hold, or sort: paths, tuples, and several types.

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
        column is plain labels, as scikit-learn has it; tuples that are all nodes of the
        hierarchy are single labels.
    """
    longest_path, rows = _path_length(y), objects_of(y)
    if longest_path is None and not _are_mixed(rows):
        return None
    if hasattr(hierarchy, "fit"):
        raise ValueError(
            f"{hierarchy!r} builds a hierarchy for labels that can be sorted, and y holds "
            "paths, tuples or several types: give it 1-D labels, such as the last of each path"
        )
    found = None if hierarchy is None else as_hierarchy(hierarchy)
    if found and len(rows) and all(is_hashable(row) and row in found for row in rows):
        longest_path = None
    if longest_path is None:
        found = found or Hierarchy.flat(dict.fromkeys(rows))
        return Located(found, found.node_indices(rows), None)
    found = found or Hierarchy.from_paths(y)
    return Located(found, found.node_indices(found.leaves_from_paths(y)), longest_path)


def objects_of(y: Any) -> Any:
    """Return y if its items may be of any type, else nothing."""
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    is_flat = getattr(y, "ndim", 1) == 1
    return y if is_flat and (isinstance(y, (list, tuple)) or kind == "O") else ()


def _path_length(y: Any) -> int | None:
    """Return the length of the longest path, or None for single labels or a single column."""
    if getattr(y, "ndim", 1) == 2:
        n_columns = int(y.shape[1])
        return n_columns if n_columns > 1 else None
    lengths = {len(row) if isinstance(row, _SEQUENCES) else -1 for row in objects_of(y)}
    return None if not lengths or -1 in lengths or lengths == {1} else max(lengths)


def _are_mixed(rows: Any) -> bool:
    """Tell whether single labels, none of them missing, are of types that have no order."""
    is_text = [isinstance(row, str) for row in rows]
    if all(isinstance(row, _SEQUENCES) for row in rows) or any(map(is_missing, rows)):
        return False
    return any(type(row) is tuple for row in rows) or (any(is_text) and not all(is_text))


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
        classes = sort_classes(pruned.leaves)
        positions = pruned.node_indices(classes)
        if not are_positions:
            classes = _in_dtype(classes, y.dtype)
    return Targets(pruned, classes, positions, labelled, codes.reshape(-1))


def _in_dtype(labels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give labels the dtype of others, unless it is too narrow to hold them."""
    if dtype.kind == "O":
        return labels.astype(object)
    if not (dtype.kind in "iu" and labels.dtype.kind in "iu"):
        return labels
    cast = labels.astype(dtype)
    return cast if np.array_equal(cast, labels) else labels


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
    elif not _are_comparable(y, predicted):
        true, found = as_labels(y), as_labels(predicted)
    else:
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
    check_consistent_length(true, found)
    right = [label == other for label, other in zip(true, found, strict=True)]
    return float(accuracy_score(np.ones(len(right)), right, sample_weight=sample_weight))


def _are_comparable(y: Any, predicted: NDArray[Any]) -> bool:
    """Tell whether scikit-learn would compare two lists of labels: it wants one type."""
    rows = objects_of(y)
    kinds = {plain_array(rows).dtype.kind if len(rows) else np.asarray(y).dtype.kind}
    kinds.add(predicted.dtype.kind)
    return "O" not in kinds and len({"text" if kind in "US" else "other" for kind in kinds}) == 1
