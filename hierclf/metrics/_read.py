"""What the metrics read: labels, paths or indicator matrices, weights, and scores of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Number
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.closure import close_sets, closure
from hierclf._utils.labels import column_names
from hierclf._utils.naming import check_reject_label
from hierclf._utils.proba import read_classes
from hierclf._utils.sklearn_private import check_sample_weight
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._indicators import find_columns, read_indicator
from hierclf.hierarchy._nodes import (
    as_labels,
    as_list,
    is_hashable,
    plain_array,
    sort_if_possible,
)
from hierclf.hierarchy._readers import iter_rows

Kind = Literal["labels", "paths", "indicator"]
# Checks the numbers of all classes: takes the numbers, the classes, and what to call both.
Check = Callable[[ArrayLike, NDArray[Any], str, str], NDArray[Any]]


class Nodes(NamedTuple):
    """One true and one predicted node for each row, as positions, and the weights of the rows."""

    hierarchy: Hierarchy
    true: NDArray[np.intp]
    predicted: NDArray[np.intp]
    weight: NDArray[np.float64]

    def mean(self, values: NDArray[Any]) -> float:
        """Return the weighted mean of a value for each row."""
        return float(np.average(values, weights=self.weight))


@contextmanager
def blame(name: str) -> Iterator[None]:
    """Say in an error which argument it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def read_nodes(
    y_true: Any,
    y_pred: Any,
    hierarchy: Any,
    sample_weight: ArrayLike | None,
    reject_label: Any = None,
) -> Nodes:
    """Read what a metric of one true and one predicted node for each sample is given.

    Parameters
    ----------
    y_true, y_pred : array-like
        Labels or paths.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    sample_weight : array-like of shape (n_samples,), optional
        Weights.
    reject_label : object, optional
        What `y_pred` holds for the root, whose position is -1.

    Returns
    -------
    Nodes
    """
    hierarchy = as_hierarchy(hierarchy)
    true = read_positions(y_true, "y_true", hierarchy)
    if reject_label is None:
        predicted = read_positions(y_pred, "y_pred", hierarchy)
    else:
        predicted = _read_answers(y_pred, reject_label, hierarchy)
    check_lengths(len(true), "y_pred", len(predicted))
    return Nodes(hierarchy, true, predicted, read_weight(sample_weight, len(true)))


def _read_answers(y_pred: Any, reject_label: Any, hierarchy: Hierarchy) -> NDArray[np.intp]:
    """Return the positions of labels or paths, -1 where one is the word for no answer."""
    check_reject_label(reject_label, hierarchy)
    with blame("y_pred"):
        kind, rows = tell_apart(y_pred, hierarchy)
        if kind == "paths":
            rows = [row for _, row in iter_rows(rows)]
            is_answer = [len(row) == 0 or row[0] != reject_label for row in rows]
        else:
            rows = as_labels(y_pred)
            is_answer = [label != reject_label for label in rows]
        predicted = np.full(len(rows), -1)
        if any(is_answer):
            answers = [row for row, is_one in zip(rows, is_answer, strict=True) if is_one]
            predicted[is_answer] = _find(kind, answers, hierarchy)
    return predicted


def read_positions(y: Any, name: str, hierarchy: Hierarchy) -> NDArray[np.intp]:
    """Return the position in ``hierarchy.nodes`` of the node of each row."""
    with blame(name):
        kind, rows = tell_apart(y, hierarchy)
        if kind == "indicator":
            raise ValueError(
                "expected one label or path for each row, got an indicator matrix, which "
                "precision, recall, F and consistency can read, and node by node "
                "sklearn.metrics.multilabel_confusion_matrix"
            )
        return _find(kind, rows, hierarchy)


def _find(kind: Kind, rows: Any, hierarchy: Hierarchy) -> NDArray[np.intp]:
    return hierarchy.node_indices(rows if kind == "labels" else hierarchy.leaves_from_paths(rows))


def read_label_rows(y: Any, name: str, hierarchy: Hierarchy) -> NDArray[np.intp]:
    """Return the positions of as many labels for each row, of shape (n, k)."""
    with blame(name):
        array = y.to_numpy() if hasattr(y, "to_numpy") else y
        if isinstance(array, np.ndarray):
            if array.ndim != 2 or not array.shape[1]:
                raise ValueError(f"expected a row of labels for each sample, got {array.shape}")
            width: int = array.shape[1]
            labels: Any = array.ravel()
        else:
            rows = as_list(array)
            for row in rows:
                if not isinstance(row, (list, tuple, np.ndarray)):
                    raise ValueError(f"expected a row of labels for each sample, got {row!r}")
            width = len(rows[0]) if rows else 1
            uneven = [i for i, row in enumerate(rows) if len(row) != width or not width]
            if uneven:
                raise ValueError(
                    f"row {uneven[0]} has {len(rows[uneven[0]])} labels, and row 0 has {width}: "
                    "give as many, and at least one, for each"
                )
            labels = [label for row in rows for label in row]
        try:
            return hierarchy.node_indices(labels).reshape(-1, width)
        except ValueError as error:
            cure = "; without k they are labels, as predict_topk returns them: for scores give k"
            raise ValueError(f"{error}{cure}") from None


def read_sets(y: Any, name: str, hierarchy: Hierarchy, *, close: bool = True) -> sp.csr_array:
    """Return the nodes of each row as a sparse indicator matrix of 1.0, in the order of nodes.

    Parameters
    ----------
    y : array-like or sparse matrix
        Labels, paths or an indicator matrix.
    name : str
        The name of the argument, for errors.
    hierarchy : Hierarchy
        The hierarchy.
    close : bool, default=True
        Add the ancestors. If False, `y` must be an indicator matrix.

    Returns
    -------
    csr_array of shape (n, N), dtype float64
    """
    with blame(name):
        kind, rows = tell_apart(y, hierarchy)
        if kind == "indicator":
            matrix = _as_sparse(rows, hierarchy)
            return close_sets(matrix, hierarchy) if close else matrix
        if not close:
            raise ValueError(
                f"{kind} stand for nodes and their ancestors; close_predictions=False is for an "
                "indicator matrix or sets of labels, and so is constrained_f1_score"
            )
        try:
            positions = _find(kind, rows, hierarchy)
        except ValueError as error:
            cure = " (rows of several labels are given as sets or hierarchy.to_indicator(rows))"
            raise ValueError(f"{error}{cure if kind == 'paths' else ''}") from None
    closed: sp.csr_array = closure(hierarchy)[positions]
    return closed


def _as_sparse(given: Any, hierarchy: Hierarchy) -> sp.csr_array:
    n = len(hierarchy)
    offsets, columns = read_indicator(given, n)
    return sp.csr_array((np.ones(len(columns)), columns, offsets), shape=(len(offsets) - 1, n))


def tell_apart(y: Any, hierarchy: Hierarchy) -> tuple[Kind, Any]:
    """Return whether rows are labels, paths or an indicator matrix, and the rows."""
    if sp.issparse(y):
        return "indicator", y
    ndim = getattr(y, "ndim", None)
    if ndim is None or (ndim == 1 and y.dtype == object):
        return _tell_lists_apart(y, hierarchy)
    if ndim == 1:
        return "labels", y
    if ndim != 2:
        raise ValueError(f"expected labels, paths or an indicator matrix, got {ndim} dimensions")
    array = y.to_numpy() if hasattr(y, "to_numpy") else y
    if not _is_indicator(array, hierarchy):
        return "paths", array
    if hasattr(y, "columns"):
        array = _order_columns(array, list(y.columns), hierarchy)
    return "indicator", array


def _tell_lists_apart(y: Any, hierarchy: Hierarchy) -> tuple[Kind, Any]:
    if isinstance(y, (str, bytes)) or not hasattr(y, "__iter__"):
        raise TypeError(f"expected labels, paths or an indicator matrix, got {y!r}")
    items = as_list(y)
    if items and all(isinstance(item, (set, frozenset)) for item in items):
        are_nodes = all(isinstance(item, frozenset) and item in hierarchy for item in items)
        return ("labels", items) if are_nodes else ("indicator", _of_sets(items, hierarchy))
    if not all(isinstance(item, (list, tuple, np.ndarray)) for item in items):
        return "labels", items
    if all(is_hashable(item) and item in hierarchy for item in items):  # nodes may be tuples
        return "labels", items
    widths = {len(item) for item in items}
    if len(widths) == 1 and all(isinstance(cell, (Number, np.bool_)) for cell in items[0]):
        array = np.array(items)
        if array.ndim == 2 and _is_indicator(array, hierarchy):
            return "indicator", array
    return "paths", items


def _of_sets(items: list[Any], hierarchy: Hierarchy) -> sp.csr_array:
    """Return the indicator matrix of sets of labels, and of no nodes above them."""
    columns = hierarchy.node_indices(plain_array([label for item in items for label in item]))
    offsets = np.concatenate(([0], np.cumsum([len(item) for item in items])))
    shape = len(items), len(hierarchy)
    matrix = sp.csr_array((np.ones(len(columns)), columns, offsets), shape=shape)
    matrix.sort_indices()
    return matrix


def check_column_order(y_true: Any, y_pred: Any, hierarchy: Hierarchy) -> None:
    """Refuse a data frame in another order than that of nodes beside a matrix without names."""
    given = {"y_true": y_true, "y_pred": y_pred}
    positions = {name: _named_columns(y, hierarchy) for name, y in given.items()}
    for frame, matrix in (("y_true", "y_pred"), ("y_pred", "y_true")):
        order = positions[frame]
        is_matrix = sp.issparse(given[matrix]) or getattr(given[matrix], "ndim", None) == 2
        if order is None or positions[matrix] is not None or not is_matrix:
            continue
        if (np.diff(order) < 0).any():
            raise ValueError(
                f"{frame} is a data frame whose columns are in another order than "
                f"hierarchy.nodes, and the columns of {matrix} have no names: make it a data "
                f"frame, such as pandas.DataFrame(clf.predict(X), columns=clf.classes_), or give "
                f"{frame}[list(hierarchy.nodes)] and {matrix} in that order"
            )


def _named_columns(y: Any, hierarchy: Hierarchy) -> NDArray[np.intp] | None:
    names = column_names(y)
    is_indicator = names is not None and getattr(y, "ndim", 2) == 2 and hasattr(y, "to_numpy")
    if not is_indicator or not _is_indicator(np.asarray(y.to_numpy()), hierarchy):
        return None
    return find_columns(names or [], hierarchy.nodes)


def _is_indicator(array: NDArray[Any], hierarchy: Hierarchy) -> bool:
    """Tell whether a 2-D array is an indicator matrix, and not paths of numbers."""
    if array.dtype.kind not in "biuf":
        return False
    if not any(isinstance(node, Number) for node in hierarchy.nodes):
        return True
    # No path is as long as there are nodes, unless all of them are on it.
    return bool(array.shape[1] == len(hierarchy) > hierarchy.n_levels)


def _order_columns(array: NDArray[Any], columns: list[Any], hierarchy: Hierarchy) -> NDArray[Any]:
    """Put the columns of a data frame into the order of nodes, if their names are nodes."""
    positions = find_columns(columns, hierarchy.nodes)
    return array if positions is None else array[:, np.argsort(positions)]


def read_weight(sample_weight: ArrayLike | None, n_rows: int) -> NDArray[np.float64]:
    """Return the weights of the rows, all 1 if none are given; refuse if there are no rows."""
    if not n_rows:
        raise ValueError("there are no rows to score")
    if sample_weight is None:
        return np.ones(n_rows)
    weight: NDArray[np.float64] = check_sample_weight(
        sample_weight, np.empty(n_rows), dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("sample_weight: all weights are zero")
    return weight


def check_lengths(n_true: int, name: str, n_other: int) -> None:
    """Refuse arguments of different lengths."""
    if n_true != n_other:
        raise ValueError(f"y_true has {n_true} rows, {name} has {n_other}")


def read_scores(
    scores: ArrayLike, name: str, labels: ArrayLike | None, hierarchy: Hierarchy, check: Check
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Read a number for each sample and class.

    Parameters
    ----------
    scores : array-like of shape (n_samples, n_classes)
        Scores or probabilities.
    name : str
        The name of the argument, for errors.
    labels : array-like of shape (n_classes,), optional
        What the columns stand for. None is the leaves, sorted where they can be, else in node
        order.
    hierarchy : Hierarchy
        The hierarchy.
    check : callable
        `check_scores` or `check_proba`.

    Returns
    -------
    scores : ndarray of shape (n, n_classes)
        Of a float dtype.
    positions : ndarray of shape (n_classes,), dtype intp
        Positions of the classes in ``hierarchy.nodes``.
    """
    columns = "labels"
    if labels is None:
        labels = sort_if_possible(hierarchy.leaves) or list(hierarchy.leaves)
        columns = "leaves of the hierarchy (say with labels= what the columns stand for)"
    with blame("labels"):
        classes, positions = read_classes(labels, hierarchy)
    return check(scores, classes, name, columns), positions
