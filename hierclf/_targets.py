"""What a user passes as y: labels or paths, read as nodes, and predictions in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import (
    as_labels,
    as_list,
    is_hashable,
    is_missing,
    plain_array,
    sort_if_possible,
)
from hierclf.hierarchy._readers import clean_path, iter_rows

_SEQUENCES = (list, tuple, np.ndarray)
_NUMBERS = (Number, np.bool_)


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


class Labels(NamedTuple):
    """What y holds, one item for each row, before any hierarchy is asked.

    Attributes
    ----------
    values : array-like of shape (n_rows,)
        The labels, where scikit-learn can check and sort them; else the numbers of the rows.
    rows : sequence, data frame or None
        Where ``values`` are row numbers, the labels or paths that they stand for.
    longest_path : int or None
        Length of the longest path; None where y holds single labels.
    is_column : bool
        Whether y was a single column.
    """

    values: Any
    rows: Any = None
    longest_path: int | None = None
    is_column: bool = False


class Located(NamedTuple):
    """Labels that only a hierarchy can tell apart, found in it.

    Attributes
    ----------
    hierarchy : Hierarchy
        The hierarchy that was given, or that of the labels.
    positions : ndarray of shape (n_rows,)
        Positions in its ``nodes``.
    longest_path : int or None
        Length of the longest path; None where y held single labels.
    """

    hierarchy: Hierarchy
    positions: NDArray[np.intp]
    longest_path: int | None


def read_labels(y: Any, hierarchy: Any) -> Labels:
    """Tell labels, paths and what is neither apart.

    Parameters
    ----------
    y : object
        The labels as the user gave them. What is no list of rows is handed on for
        scikit-learn to refuse.
    hierarchy : Hierarchy, inducer or None
        What the user gave. Tuples that are all nodes of it are labels and no paths.

    Returns
    -------
    Labels

    Raises
    ------
    ValueError
        If a row is neither a label nor a path as the others are; the message names it.
    """
    nodes = hierarchy if isinstance(hierarchy, Hierarchy) else None
    if getattr(y, "ndim", 1) == 2:
        n_columns = int(y.shape[1])
        if n_columns == 1:
            return _read_column(np.asarray(y)[:, 0], nodes)
        if n_columns > 1:
            return _read_paths(y, n_columns)
    return _read_items(y, nodes)


def _read_items(y: Any, nodes: Hierarchy | None) -> Labels:
    """Read one item for each row: a label, or a path in a sequence."""
    if not isinstance(y, (list, tuple)):
        if not hasattr(y, "__array__"):
            return Labels(y)
        array = np.asarray(y)
        # Dates in an array equal nodes only as objects, such as the Timestamps of pandas.
        may_be_nodes = array.dtype.kind in "mM" and nodes is not None
        if array.ndim != 1 or not (array.dtype.kind == "O" or may_be_nodes):
            return Labels(array)
        y = list(y) if may_be_nodes else array
    kinds = set(map(type, y))
    if all(issubclass(kind, str) for kind in kinds):
        # numpy would make the members of an Enum of strings "Enum.name", and cut that short.
        return Labels(y if kinds <= {str, np.str_} else _as_objects(y))
    if all(issubclass(kind, _NUMBERS) for kind in kinds):
        array = np.asarray(list(y))
        if array.dtype.kind != "O":
            return Labels(array)
    if not all(issubclass(kind, _SEQUENCES) for kind in kinds):
        _check_items(y)
    elif nodes is None or not all(is_hashable(row) and row in nodes for row in y):
        lengths = set(map(len, y))
        if lengths == {1}:
            return _read_column([row[0] for row in y], nodes)
        return _read_paths(y, max(lengths))
    return Labels(np.arange(len(y)), rows=list(y))


def _as_objects(items: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _read_column(items: Any, nodes: Hierarchy | None) -> Labels:
    return _read_items(items, nodes)._replace(is_column=True)


def _read_paths(y: Any, longest: int) -> Labels:
    return Labels(np.arange(len(y)), rows=y, longest_path=longest)


def _check_items(y: Any) -> None:
    """Refuse what is not a label, among labels of any types."""
    is_path = [isinstance(row, _SEQUENCES) and not is_hashable(row) for row in y]
    if any(is_path) and not all(is_path):
        path, label = is_path.index(True), is_path.index(False)
        raise ValueError(
            f"row {path} of y is the list {y[path]!r}, and row {label} is {y[label]!r}, which is "
            "no list: give each row a path, in a list, or each row a label"
        )
    for i, row in enumerate(y):
        if is_missing(row):
            raise ValueError(f"row {i} of y has no label: it is {row!r}")
        if not is_hashable(row):
            raise ValueError(
                f"row {i} of y is {row!r}: a label must be hashable, as strings, numbers and "
                "tuples of them are"
            )


def locate(labels: Labels, hierarchy: Any, kept: NDArray[np.intp]) -> Located:
    """Look up labels that no array can hold, or sort: paths, tuples, and several types.

    Parameters
    ----------
    labels : Labels
        Labels that have ``rows``.
    hierarchy : Hierarchy, inducer or None
        What the user gave.
    kept : ndarray of shape (n_kept,)
        Numbers of the rows that count; the others are as if they were not there.

    Returns
    -------
    Located
        The positions are those of the rows that count.

    Raises
    ------
    ValueError
        If the label of a row that counts is not in the hierarchy, or the hierarchy is to be
        built from such labels.
    """
    if hasattr(hierarchy, "fit"):
        raise ValueError(
            f"{hierarchy!r} builds a hierarchy for labels that can be sorted, and y holds "
            "paths, tuples or several types: give it 1-D labels, such as the last of each path"
        )
    found: Hierarchy | None = hierarchy
    rows = labels.rows
    if len(kept) < len(rows):
        # The others repeat one that counts, so that errors number the rows as y does.
        items = as_list(rows)
        rows = [items[kept[0]]] * len(items)
        for i in kept.tolist():
            rows[i] = items[i]
    if labels.longest_path is None:
        found = found or Hierarchy.flat(dict.fromkeys(rows))
        return Located(found, found.node_indices(rows)[kept], None)
    found = found or Hierarchy.from_paths(rows)
    nodes = found.leaves_from_paths(rows)
    return Located(found, found.node_indices(nodes)[kept], labels.longest_path)


def objects_of(y: Any) -> Any:
    """Return y if its items may be of any type, else nothing."""
    kind = getattr(getattr(y, "dtype", None), "kind", "")
    is_flat = getattr(y, "ndim", 1) == 1
    return y if is_flat and (isinstance(y, (list, tuple)) or kind == "O") else ()


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
    """Tell whether scikit-learn would compare two lists of labels: one type, and no fractions."""
    rows = objects_of(y)
    kinds = {plain_array(rows).dtype.kind if len(rows) else np.asarray(y).dtype.kind}
    kinds.add(predicted.dtype.kind)
    return (
        not kinds & {"O", "f"} and len({"text" if kind in "US" else "other" for kind in kinds}) == 1
    )
