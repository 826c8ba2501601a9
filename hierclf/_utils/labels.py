"""Labels of any kind, as a user may pass them: told apart, found in a hierarchy, compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
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
    shorten,
)
from hierclf.hierarchy._readers import clean_path, iter_rows

_SEQUENCES = (list, tuple, np.ndarray)
_NUMBERS = (Number, np.bool_)


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
        Length of the longest path that can be predicted; None where y held single labels.
    """

    hierarchy: Hierarchy
    positions: NDArray[np.intp]
    longest_path: int | None


def read_labels(y: Any, hierarchy: Any, name: str) -> Labels:
    """Tell labels, paths and what is neither apart.

    Parameters
    ----------
    y : object
        The labels as the user gave them. What is no list of rows is handed on for
        scikit-learn to refuse.
    hierarchy : Hierarchy, inducer or None
        What the user gave. Tuples that are all nodes of it are labels and no paths, and
        columns of 0 and 1 are paths only where it has them.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    Labels

    Raises
    ------
    ValueError
        If y holds several labels per row, or a row is neither a label nor a path as the
        others are; the message names the row.
    """
    nodes = hierarchy if isinstance(hierarchy, Hierarchy) else None
    if sp.issparse(y):
        raise _several(name, "it is a sparse matrix")
    y = as_rows(y)
    if getattr(y, "ndim", 1) == 2:
        n_columns = int(y.shape[1])
        if n_columns == 1:
            return _read_column(np.asarray(y)[:, 0], nodes, name)
        if n_columns > 1:
            return _read_paths(y, n_columns, nodes, name)
    return _read_items(y, nodes, name)


def as_rows(y: Any) -> Any:
    """Return a table or column of polars or pyarrow as a list; all else as it is."""
    if hasattr(y, "ndim"):
        return y
    if hasattr(y, "get_columns"):  # a data frame of polars
        return _in_rows(column.to_list() for column in y.get_columns())
    if hasattr(y, "itercolumns"):  # a table or record batch of pyarrow
        return _in_rows(column.to_pylist() for column in y.itercolumns())
    if hasattr(y, "to_pylist"):  # an array of pyarrow
        return y.to_pylist()
    return y.to_list() if hasattr(y, "to_list") else y  # a series of polars


def column_names(y: Any) -> list[Any] | None:
    """Return the names of the columns of a data frame or table; None of what is none."""
    # A pyarrow table has the columns themselves under the other name.
    columns = getattr(y, "column_names", getattr(y, "columns", None))
    return None if columns is None or getattr(y, "ndim", 2) != 2 else list(columns)


def _in_rows(columns: Iterable[list[Any]]) -> list[list[Any]]:
    return [list(row) for row in zip(*columns, strict=True)]


def _read_items(y: Any, nodes: Hierarchy | None, name: str) -> Labels:
    """Read one item for each row: a label, or a path in a sequence."""
    if not isinstance(y, (list, tuple)):
        if not hasattr(y, "__array__"):
            return Labels(y)
        array = np.asarray(y)
        # Dates in an array equal nodes, and other dates, only as objects, such as Timestamps.
        are_dates = array.dtype.kind in "mM"
        if array.ndim != 1 or not (array.dtype.kind == "O" or are_dates):
            return Labels(array)
        y = list(y) if are_dates else array
    kinds = set(map(type, y))
    if all(issubclass(kind, str) for kind in kinds):
        # numpy would make the members of an Enum of strings "Enum.name", and cut that short.
        return Labels(y if kinds <= {str, np.str_} else _as_objects(y))
    if all(issubclass(kind, _NUMBERS) for kind in kinds):
        array = np.asarray(list(y))
        if array.dtype.kind != "O":
            return Labels(array)
    if not all(issubclass(kind, _SEQUENCES) for kind in kinds):
        _check_items(y, nodes, name)
    elif nodes is None or not all(is_hashable(row) and row in nodes for row in y):
        lengths = set(map(len, y))
        if lengths == {1}:
            return _read_column([row[0] for row in y], nodes, name)
        return _read_paths(y, max(lengths), nodes, name)
    return Labels(np.arange(len(y)), rows=list(y))


def _as_objects(items: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _read_column(items: Any, nodes: Hierarchy | None, name: str) -> Labels:
    return _read_items(items, nodes, name)._replace(is_column=True)


def _read_paths(y: Any, longest: int, nodes: Hierarchy | None, name: str) -> Labels:
    if _is_indicator(y, longest) and not (nodes and _are_paths(y, nodes)):
        cure = "" if nodes else "; if these are paths, give hierarchy=Hierarchy.from_paths(y)"
        raise _several(name, f"its {longest} columns hold nothing but 0 and 1", cure)
    return Labels(np.arange(len(y)), rows=y, longest_path=longest)


def _is_indicator(y: Any, n_columns: int) -> bool:
    """Tell whether all rows are of the same length and hold nothing but 0 and 1."""
    if getattr(y, "ndim", 1) == 1:
        if not are_flags(y[0]) or not all(len(row) == n_columns for row in y):
            return False
        y = list(map(list, y))
    array = np.asarray(y)
    if array.dtype.kind == "O":
        return are_flags(array.flat)
    return array.dtype.kind in "biuf" and bool(((array == 0) | (array == 1)).all())


def are_flags(cells: Iterable[Any]) -> bool:
    """Tell whether all of some cells are 0 or 1."""
    return all(isinstance(cell, _NUMBERS) and cell in (0, 1) for cell in cells)


def _are_paths(y: Any, hierarchy: Hierarchy) -> bool:
    try:
        hierarchy.leaves_from_paths(y)
    except ValueError:
        return False
    return True


def _several(name: str, found: str, cure: str = "") -> ValueError:
    return ValueError(
        f"y holds several labels per row ({found}), and {name} takes one: a label, or the path "
        f"to it{cure}. HierarchicalMultilabelClassifier takes several"
    )


def _check_items(y: Any, nodes: Hierarchy | None, name: str) -> None:
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
        if isinstance(row, set) or _is_set_of(nodes, row):
            raise _several(name, f"row {i} is the set {row!r}")
        if not is_hashable(row):
            raise ValueError(
                f"row {i} of y is {row!r}: a label must be hashable, as strings, numbers and "
                "tuples of them are"
            )


def _is_set_of(nodes: Hierarchy | None, row: Any) -> bool:
    """Tell whether a label that could be a node is a set of nodes instead."""
    if nodes is None or not isinstance(row, frozenset) or row in nodes:
        return False
    return all(label in nodes for label in row)


def locate(labels: Labels, hierarchy: Any, kept: NDArray[np.intp], name: str) -> Located:
    """Look up labels that no array can hold, or sort: paths, tuples, and several types.

    Parameters
    ----------
    labels : Labels
        Labels that have ``rows``.
    hierarchy : Hierarchy, inducer or None
        What the user gave.
    kept : ndarray of shape (n_kept,)
        Numbers of the rows that count; the others are as if they were not there.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    Located
        The positions are those of the rows that count.

    Raises
    ------
    ValueError
        If a row that counts is not in the hierarchy or holds several leaves, or the
        hierarchy is to be built from such labels.
    """
    if hasattr(hierarchy, "fit"):
        raise ValueError(
            f"{hierarchy!r} builds a hierarchy for labels that can be sorted, and y holds "
            "paths, tuples or several types: give it 1-D labels, such as the last of each path"
        )
    given: Hierarchy | None = hierarchy
    rows = labels.rows
    if len(kept) < len(rows):
        # The others repeat one that counts, so that errors number the rows as y does.
        items = as_list(rows)
        rows = [items[kept[0]]] * len(items)
        for i in kept.tolist():
            rows[i] = items[i]
    if labels.longest_path is None:
        found = given or Hierarchy.flat(dict.fromkeys(rows))
        return Located(found, found.node_indices(rows)[kept], None)
    found = given or Hierarchy.from_paths(rows)
    try:
        nodes = found.leaves_from_paths(rows)
    except ValueError:
        _refuse_several_leaves(rows, found, name)
        raise
    # The depth of what was given is the same in all folds, that of what their rows leave is not.
    longest = max(labels.longest_path, given.n_levels if given else 0)
    return Located(found, found.node_indices(nodes)[kept], longest)


def _refuse_several_leaves(rows: Any, hierarchy: Hierarchy, name: str) -> None:
    """Name the first row of nothing but leaves, which are never on one path."""
    leaves = set(hierarchy.leaves)
    for i, row in enumerate(as_list(rows)):
        if all(is_hashable(cell) and cell in leaves for cell in row) and len(set(row)) > 1:
            raise _several(name, f"row {i} holds the leaves {shorten(row)}")


def accuracy(
    y: Any,
    predicted: NDArray[Any],
    sample_weight: Any,
    hierarchy: Hierarchy,
    name: str,
) -> float:
    """Return the share of rows whose label, or whole path, is right.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_levels), or list of lists
        True labels or paths, as they may be given to ``fit``.
    predicted : ndarray of shape (n_rows,) or (n_rows, n_levels)
        What ``predict`` returned.
    sample_weight : array-like of shape (n_rows,) or None
        Weights.
    hierarchy : Hierarchy
        That of the predictions. A label that is not in it is wrong.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If y is not of the form that was fitted, or its labels are of another type than the
        nodes.
    """
    if predicted.ndim == 2:
        true, found = (
            [tuple(clean_path(row, i)) for i, row in iter_rows(rows)]
            for rows in (as_rows(y), predicted)
        )
        if have_other_types(chain(*true), chain(*found)):
            hierarchy.leaves_from_paths(true)
    else:
        labels = read_labels(y, hierarchy, name)
        if labels.longest_path and not all(isinstance(row, tuple) for row in labels.rows):
            raise ValueError(
                f"y holds paths, and {name} was fitted to single labels: give the last label of "
                "each path, which Hierarchy.leaves_from_paths finds"
            )
        if labels.rows is None and _are_comparable(labels.values, predicted):
            return float(accuracy_score(labels.values, predicted, sample_weight=sample_weight))
        true = as_labels(labels.values if labels.rows is None else labels.rows)
        found = as_labels(predicted)
        if have_other_types(true, hierarchy.nodes):
            hierarchy.node_indices(plain_array(list(dict.fromkeys(true))))
    check_consistent_length(true, found)
    right = [label == other for label, other in zip(true, found, strict=True)]
    return float(accuracy_score(np.ones(len(right)), right, sample_weight=sample_weight))


def have_other_types(labels: Iterable[Any], nodes: Iterable[Any]) -> bool:
    """Tell whether no label can be a node, as text cannot where all nodes are numbers."""
    types, of_nodes = (
        {next((t for t in (str, Number) if issubclass(kind, t)), kind) for kind in map(type, items)}
        for items in (labels, nodes)
    )
    return types.isdisjoint(of_nodes)


def _are_comparable(y: Any, predicted: NDArray[Any]) -> bool:
    """Tell whether scikit-learn would compare two lists of labels: one type, and no fractions."""
    kinds = {np.asarray(values).dtype.kind for values in (y, predicted)}
    return (
        not kinds & {"O", "f"} and len({"text" if kind in "US" else "other" for kind in kinds}) == 1
    )
