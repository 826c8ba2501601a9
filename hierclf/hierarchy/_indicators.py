"""To and from indicator matrices, dense or sparse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy._arrays import HierarchyArrays, gather
from hierclf.hierarchy._geometry import ancestor_pairs
from hierclf.hierarchy._nodes import (
    Node,
    as_labels,
    as_list,
    is_hashable,
    is_missing,
    repeated,
    shorten,
    show,
)


def read_indicator(given: Any, n_nodes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each row of an indicator matrix holds 1; refuse what is neither 0 nor 1.

    Parameters
    ----------
    given : array-like or sparse matrix of shape (n, n_nodes)
        A sparse matrix is known by its ``tocsr``. What it holds twice for a cell is added up, as
        everywhere in scipy.
    n_nodes : int
        The number of columns there must be.

    Returns
    -------
    offsets : ndarray of shape (n + 1,), dtype intp
        Row i has the columns ``columns[offsets[i] : offsets[i + 1]]``.
    columns : ndarray of shape (n_ones,), dtype intp
        Ascending in each row.

    Raises
    ------
    ValueError
        If the shape does not fit, or a value is neither 0 nor 1; the message names row and value.

    Examples
    --------
    >>> read_indicator([[1, 0, 1], [0, 1, 0]], n_nodes=3)
    (array([0, 2, 3]), array([0, 2, 1]))
    """
    is_sparse = hasattr(given, "tocsr")
    matrix: Any = given if is_sparse else np.asarray(given)
    if len(matrix.shape) != 2 or matrix.shape[1] != n_nodes:
        raise ValueError(
            f"the indicator matrix must have a column for each of the {n_nodes} nodes, "
            f"its shape is {matrix.shape}"
        )
    if is_sparse:
        matrix = matrix.tocsr(copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        offsets, columns, values = matrix.indptr, matrix.indices, matrix.data
    else:
        if matrix.dtype.kind not in "biuf":  # comparing strings with numbers may warn, or raise
            matrix = matrix.astype(object)
        rows, columns = np.nonzero(matrix != 0)
        counts = np.bincount(rows, minlength=len(matrix))
        offsets, values = np.concatenate(([0], np.cumsum(counts))), matrix[rows, columns]
    bad = np.flatnonzero(values != 1)
    if len(bad):
        row = np.searchsorted(offsets, bad[0], side="right") - 1
        value = values[bad[:1]].tolist()[0]
        shown = f"{value:g}" if isinstance(value, float) else repr(value)
        raise ValueError(f"row {row} holds {shown}: an indicator matrix holds 0 and 1 only")
    return offsets.astype(np.intp), columns.astype(np.intp)


def find_columns(columns: Sequence[Any], nodes: Sequence[Node]) -> NDArray[np.intp] | None:
    """Return which node each column of a data frame is, or None if its names are no nodes.

    Parameters
    ----------
    columns : sequence
        The names of the columns.
    nodes : sequence of nodes
        Those of the hierarchy.

    Returns
    -------
    ndarray of shape (n_nodes,), dtype intp, or None
        Positions. None where the columns are numbered, or none of them is a node.

    Raises
    ------
    ValueError
        If the columns are not the nodes, each once.

    Examples
    --------
    >>> find_columns(["dog", "animal", "cat"], ("animal", "cat", "dog"))
    array([2, 0, 1])
    """
    position = {node: i for i, node in enumerate(nodes)}
    unknown = [name for name in columns if not (is_hashable(name) and name in position)]
    if list(columns) == list(range(len(columns))) or len(unknown) == len(columns):
        return None
    missing = position.keys() - columns
    if missing or len(columns) != len(nodes):
        wrong = [*(node for node in nodes if node in missing), *unknown, *repeated(columns)]
        raise ValueError(
            f"the columns of an indicator matrix must be the nodes, each once: see {shorten(wrong)}"
        )
    return np.array([position[name] for name in columns], dtype=np.intp)


def split_strings(labels: Iterable[Any], sep: str) -> list[list[str]]:
    """Split strings of several labels, such as "a|b"; empty and missing ones have none."""
    if not isinstance(sep, str) or not sep:
        raise ValueError(f"sep must be a string that stands between labels, got {sep!r}")
    rows = []
    for i, item in enumerate(as_labels(labels)):
        if not isinstance(item, str) and not is_missing(item):
            raise TypeError(f"with sep={sep!r} each row is a string, and row {i} is {show(item)}")
        parts = item.split(sep) if isinstance(item, str) else []
        rows.append([part.strip() for part in parts if part.strip()])
    return rows


def split_rows(labels: Iterable[Any], known: Mapping[Node, int]) -> list[list[Any]]:
    """Return the labels of each row as a list; a tuple that is a node is one label."""
    return [
        as_list(item)
        if isinstance(item, (list, set, frozenset, tuple, np.ndarray))
        and not (is_hashable(item) and item in known)
        else [item]
        for item in as_labels(labels)
    ]


def fill_indicator(
    arrays: HierarchyArrays, counts: Sequence[int], positions: NDArray[np.intp]
) -> NDArray[np.int8]:
    """Return the indicator matrix of rows that have some of `positions` each, one after another."""
    rows = np.repeat(np.arange(len(counts)), counts)
    pairs, ancestors = ancestor_pairs(arrays, positions)
    result = np.zeros((len(counts), len(arrays)), dtype=np.int8)
    result[rows[pairs], ancestors] = 1
    return result


def check_closed(
    arrays: HierarchyArrays,
    names: Sequence[Node],
    offsets: NDArray[np.intp],
    positions: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Check that rows have the parents of their nodes, and tell which nodes have no child there.

    Parameters
    ----------
    arrays : HierarchyArrays
        The hierarchy.
    names : sequence of nodes
        The name of each id.
    offsets, positions : ndarray
        As of :func:`read_indicator`.

    Returns
    -------
    ndarray of shape (n_ones,), dtype bool
        Whether no child of the node is in its row.

    Raises
    ------
    ValueError
        If a row has a node without its parent; the message names the three.
    """
    rows, ids = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)), positions + 1
    width = len(arrays) + 1
    cells = rows * width + ids
    above, counts = gather(*arrays.up, ids)
    needed = np.repeat(rows, counts) * width + above
    order = np.argsort(cells, kind="stable")  # mostly they are in order
    place = np.searchsorted(cells, needed, sorter=order).clip(max=max(len(cells) - 1, 0))
    parents = order[place]
    is_there = cells[parents] == needed
    missing = (above > 0) & ~is_there
    if missing.any():
        bad = np.flatnonzero(missing)[0]
        row = int(np.repeat(rows, counts)[bad])
        node = names[np.repeat(ids, counts)[bad]]
        raise ValueError(
            f"row {row} has {show(node)} but not its parent {show(names[above[bad]])}: rows must "
            "be closed under ancestors. Are the columns in the order of hierarchy.nodes?"
        )
    is_deepest = np.ones(len(cells), dtype=bool)
    is_deepest[parents[is_there]] = False
    return is_deepest


def most_specific(
    arrays: HierarchyArrays, names: Sequence[Node], indicator: Any
) -> list[list[Node]]:
    """Return the nodes of each row that have no child in it, or raise if a parent is missing."""
    offsets, positions = read_indicator(indicator, len(arrays))
    keep = check_closed(arrays, names, offsets, positions)
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    result: list[list[Node]] = [[] for _ in range(len(offsets) - 1)]
    for row, i in zip(rows[keep].tolist(), positions[keep].tolist(), strict=True):
        result[row].append(names[i + 1])
    return result
