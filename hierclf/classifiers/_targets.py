"""What a user passes as y, labels or paths, read as nodes of a hierarchy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hierclf._utils.labels import SEQUENCES, objects_of
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import (
    is_hashable,
    is_missing,
    plain_array,
    sort_if_possible,
)


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


def _path_length(y: Any) -> int | None:
    """Return the length of the longest path, or None for single labels or a single column."""
    if getattr(y, "ndim", 1) == 2:
        n_columns = int(y.shape[1])
        return n_columns if n_columns > 1 else None
    lengths = {len(row) if isinstance(row, SEQUENCES) else -1 for row in objects_of(y)}
    return None if not lengths or -1 in lengths or lengths == {1} else max(lengths)


def _are_mixed(rows: Any) -> bool:
    """Tell whether single labels, none of them missing, are of types that have no order."""
    is_text = [isinstance(row, str) for row in rows]
    if all(isinstance(row, SEQUENCES) for row in rows) or any(map(is_missing, rows)):
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
        classes = plain_array(sort_if_possible(pruned.leaves) or pruned.leaves)
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
