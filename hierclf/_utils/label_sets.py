"""y with several labels per row: its forms told apart, its labels found in a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from hierclf._utils.closure import close_sets
from hierclf._utils.labels import Labels, are_flags, as_rows, column_names, read_labels
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._arrays import gather
from hierclf.hierarchy._indicators import (
    check_closed,
    find_columns,
    read_indicator,
    split_rows,
)
from hierclf.hierarchy._nodes import (
    as_list,
    is_hashable,
    is_missing,
    plain_array,
    shorten,
    sort_if_possible,
)

Form = Literal["label", "dense", "sparse"]
_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)


class LabelSets(NamedTuple):
    """The labels of each row, before they are looked up in a hierarchy.

    Attributes
    ----------
    form : {"label", "dense", "sparse"}
        What predictions look like: a label for each row, or an indicator matrix.
    dtype : numpy.dtype
        The type of an indicator matrix.
    names : list
        What can be a label: the columns of an indicator matrix, or the labels that occur.
    are_columns : bool
        Whether these are columns.
    offsets, codes : ndarray
        Row i has the labels ``names[codes[offsets[i] : offsets[i + 1]]]``.
    """

    form: Form
    dtype: np.dtype[Any]
    names: list[Any]
    are_columns: bool
    offsets: NDArray[np.intp]
    codes: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> LabelSets:
        """Return some rows, and of labels that are no columns those that occur in them."""
        codes, counts = gather(self.offsets, self.codes, rows)
        taken = self._replace(offsets=np.concatenate(([0], np.cumsum(counts))), codes=codes)
        if self.are_columns:
            return taken
        used, codes = np.unique(codes, return_inverse=True)
        return taken._replace(names=[self.names[i] for i in used], codes=codes.reshape(-1))

    def flat_hierarchy(self) -> Hierarchy:
        """Return the hierarchy in which no label is above another."""
        if not self.names:
            raise ValueError("y holds no labels, and there is no hierarchy that has any")
        return Hierarchy.flat(sort_if_possible(self.names) or self.names)

    def pairs(self) -> tuple[NDArray[np.intp], NDArray[Any]]:
        """Return a row number and a label for each label of each row."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        unseen = [name for name, count in zip(self.names, counts, strict=True) if not count]
        if unseen:
            raise ValueError(
                f"no sample has the labels {shorten(unseen)} of y, and a hierarchy that is built "
                "from the samples has no place for them: leave their columns out"
            )
        rows = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        return rows, plain_array(self.names)[self.codes]

    def closed(self, hierarchy: Hierarchy) -> sp.csr_array:
        """Return the nodes of each row and all above them, as a sparse matrix of True."""
        positions = hierarchy.node_indices(self.names)
        nodes = as_sparse(self.offsets, positions[self.codes], len(hierarchy))
        return close_sets(nodes, hierarchy).astype(bool)


def as_sparse(offsets: NDArray[np.intp], columns: NDArray[np.intp], n_columns: int) -> sp.csr_array:
    """Return the matrix that is True in some columns of each row."""
    shape = len(offsets) - 1, n_columns
    return sp.csr_array((np.ones(len(columns), dtype=bool), columns, offsets), shape=shape)


def read_label_sets(
    y: Any, hierarchy: Hierarchy | None, columns: Sequence[Any] | None, name: str
) -> LabelSets | Labels:
    """Tell the forms of y apart.

    Parameters
    ----------
    y : object
        What the user gave: an indicator matrix, dense, sparse or a data frame; lists, sets or
        tuples of labels; or one label for each row.
    hierarchy : Hierarchy or None
        That of the labels, where it is known. A tuple that is a node of it is one label.
    columns : sequence or None
        What the columns of an indicator matrix must be, where that is known.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    LabelSets or Labels
        The latter where each row has one label, and is no list.

    Raises
    ------
    ValueError
        If a cell of an indicator matrix is neither 0 nor 1, its columns are others, or a row
        of a list is no collection of labels; the message names the row or the columns.
    """
    if sp.issparse(y):
        return _of_indicator(y, None, columns)
    names = column_names(y)
    y = as_rows(y)
    if getattr(y, "ndim", 1) == 2 or names is not None:
        array = np.asarray(y)
        if array.shape[1] != 1 or (columns is not None and len(columns) == 1):
            return _of_indicator(_as_numbers(array, name), names, columns)
    elif isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O":
        items = as_list(y)
        known: Any = () if hierarchy is None else hierarchy
        is_set = [
            isinstance(item, _COLLECTIONS) and not (is_hashable(item) and item in known)
            for item in items
        ]
        if any(is_set):
            if all(is_set) and _is_indicator(items, columns):
                return _of_indicator(np.array([list(item) for item in items]), None, columns)
            return _of_lists(items, hierarchy)
    return read_labels(y, hierarchy, name)


def of_single_labels(y: NDArray[Any], nodes: Sequence[Any] | None = None) -> LabelSets:
    """Return the labels of rows that have one each: labels, or positions in ``nodes``."""
    used, codes = np.unique(y, return_inverse=True)
    names = as_list(used) if nodes is None else [nodes[i] for i in used.tolist()]
    return LabelSets(
        form="label",
        dtype=y.dtype if nodes is None else np.dtype(object),
        names=names,
        are_columns=False,
        offsets=np.arange(len(y) + 1),
        codes=codes.reshape(-1),
    )


def _of_indicator(matrix: Any, names: list[Any] | None, columns: Sequence[Any] | None) -> LabelSets:
    """Read an indicator matrix; its columns are those of a data frame, in its order."""
    n_columns = matrix.shape[1] if columns is None else len(columns)
    if names is not None and columns is not None and find_columns(names, columns) is None:
        names = None
    offsets, codes = read_indicator(matrix, n_columns)
    if names is None:
        names = list(range(n_columns)) if columns is None else list(columns)
    return LabelSets(
        form="sparse" if sp.issparse(matrix) else "dense",
        dtype=matrix.dtype,
        names=names,
        are_columns=True,
        offsets=offsets,
        codes=codes,
    )


def _as_numbers(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a table as numbers, or say what is to be done with a table of labels."""
    if array.dtype.kind in "biuf":
        return array
    for row in array.tolist():
        for cell in row:
            if isinstance(cell, str):
                raise ValueError(
                    f"y is a table that holds {cell!r}, and {name} takes tables of 0 and 1: give a "
                    "list of labels for each row, where all above a label may be left out"
                )
    if are_flags(array.flat):
        return array.astype(np.int8)
    return array


def _is_indicator(items: list[Any], columns: Sequence[Any] | None) -> bool:
    """Tell whether lists are the rows of an indicator matrix, and not numbers that are labels."""
    lengths = {len(item) for item in items}
    if len(lengths) != 1 or any(isinstance(item, (set, frozenset)) for item in items):
        return False
    width = lengths.pop()
    is_fit = width > 1 if columns is None else width == len(columns)
    return is_fit and all(are_flags(item) for item in items)


def _of_lists(items: list[Any], hierarchy: Hierarchy | None) -> LabelSets:
    """Read a collection of labels for each row."""
    for i, item in enumerate(items):
        if is_missing(item):
            raise ValueError(f"row {i} of y is {item!r}: give [] where a row has no labels")
    rows = split_rows(items, {} if hierarchy is None else dict.fromkeys(hierarchy.nodes, 0))
    for i, row in enumerate(rows):
        for label in row:
            if not is_hashable(label) or is_missing(label):
                raise ValueError(
                    f"row {i} of y holds {label!r}: a label must be hashable, as strings, numbers "
                    "and tuples of them are, and not missing"
                )
    labels = [label for row in rows for label in row]
    if hierarchy is not None:
        hierarchy.node_indices(labels)  # which refuses those that it lacks
    names = list(dict.fromkeys(labels))
    in_order = sort_if_possible(names)
    if in_order is None and any(isinstance(item, (set, frozenset)) for item in items):
        raise ValueError(
            "y holds sets of labels that cannot be sorted, so that their order would depend on "
            "their hashes: give lists"
        )
    names = in_order or names
    place = {label: i for i, label in enumerate(names)}
    return LabelSets(
        form="dense",
        dtype=np.dtype(np.int8),
        names=names,
        are_columns=False,
        offsets=np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.intp))),
        codes=np.array([place[label] for label in labels], dtype=np.intp),
    )


def check_rows_closed(sets: LabelSets, hierarchy: Hierarchy) -> None:
    """Refuse an indicator matrix of nodes in which a row lacks a parent of one of its nodes."""
    positions = hierarchy.node_indices(sets.names)
    check_closed(
        hierarchy.arrays, (hierarchy.root, *hierarchy.nodes), sets.offsets, positions[sets.codes]
    )


def rarest_labels(target: sp.csr_array) -> NDArray[np.intp]:
    """Return the label of each row that the fewest rows have, or as many as there are columns."""
    n_rows, n_columns = target.shape
    order = np.argsort(np.bincount(target.indices, minlength=n_columns), kind="stable")
    rank = np.empty(n_columns, dtype=np.intp)
    rank[order] = np.arange(n_columns)
    rarest = np.full(n_rows, n_columns)
    rows = np.repeat(np.arange(n_rows), np.diff(target.indptr))
    np.minimum.at(rarest, rows, rank[target.indices])
    return rarest


def set_accuracy(
    y: Any,
    predicted: Any,
    sample_weight: Any,
    hierarchy: Hierarchy,
    columns: Sequence[Any],
    name: str,
) -> float:
    """Return the share of rows whose labels are all predicted, and no others.

    Parameters
    ----------
    y : object
        True labels, in a form that may be fitted.
    predicted : {ndarray, sparse matrix} of shape (n_rows, n_columns)
        What ``predict`` returned.
    sample_weight : array-like of shape (n_rows,) or None
        Weights.
    hierarchy : Hierarchy
        That of the predictions.
    columns : sequence
        The nodes that are the columns of ``predicted``.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If y is in no such form, or holds one label for each row.
    """
    sets = read_label_sets(y, hierarchy, columns, name)
    if isinstance(sets, Labels):
        raise ValueError(
            f"y holds one label per sample, and {name} was fitted to several: give an "
            "indicator matrix, or a list of labels for each sample"
        )
    if sets.are_columns:
        place = {label: column for column, label in enumerate(columns)}
        found = np.array([place[label] for label in sets.names], dtype=np.intp)
        true = as_sparse(sets.offsets, found[sets.codes], len(columns))
    else:
        true = sets.closed(hierarchy)[:, hierarchy.node_indices(columns)]
    true, predicted = true.astype(np.int8), sp.csr_array(predicted).astype(np.int8)
    return float(accuracy_score(true, predicted, sample_weight=sample_weight))
