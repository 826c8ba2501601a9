"""What predicted nodes are called: labels or paths, and a word where there is no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import as_list, is_hashable, is_missing, plain_array


def check_reject_label(reject_label: Any, hierarchy: Hierarchy) -> None:
    """Refuse a word for "no answer" that is a node, and so an answer."""
    if is_hashable(reject_label) and reject_label in hierarchy:
        raise ValueError(f"reject_label must not be a node, and {reject_label!r} is one")


def name_nodes(
    nodes: NDArray[np.intp],
    classes: NDArray[Any],
    positions: NDArray[np.intp],
    hierarchy: Hierarchy,
    reject_label: Any = None,
) -> NDArray[Any]:
    """Return the labels of chosen nodes, in the dtype of the classes if all are classes.

    Parameters
    ----------
    nodes : ndarray of shape (n,), dtype intp
        Positions in ``hierarchy.nodes``, or -1.
    classes, positions : ndarray of shape (n_classes,)
        The classes, and their positions.
    hierarchy : Hierarchy
        The hierarchy.
    reject_label : object, optional
        The label where the position is -1.

    Returns
    -------
    ndarray of shape (n,)
        Labels.
    """
    is_answer = nodes >= 0
    if not is_answer.all():
        answers = iter(as_list(name_nodes(nodes[is_answer], classes, positions, hierarchy)))
        every = plain_array([next(answers) if a else reject_label for a in is_answer.tolist()])
        return every.astype(object) if classes.dtype.kind == "O" else every
    column = np.full(len(hierarchy), -1)
    column[positions] = np.arange(len(positions))
    columns = column[nodes]
    if len(nodes) == 0 or columns.min() >= 0:
        labels: NDArray[Any] = classes[columns]
        return labels
    used, cells = np.unique(nodes, return_inverse=True)
    # A class may have another name than its leaf, which then stands for a node above it.
    labels_of = as_list(classes)
    names = plain_array(
        [
            hierarchy.nodes[i] if k < 0 else labels_of[k]
            for i, k in zip(used.tolist(), column[used].tolist(), strict=True)
        ]
    )
    if classes.dtype.kind == "O":
        names = names.astype(object)
    named: NDArray[Any] = names[cells.reshape(-1)]
    return named


def name_paths(
    paths: NDArray[np.intp], hierarchy: Hierarchy, reject_label: Any = None, width: int = 0
) -> NDArray[Any]:
    """Return the paths to chosen nodes as path labels.

    Parameters
    ----------
    paths : ndarray of shape (n, n_steps), dtype intp
        Positions in ``hierarchy.nodes``, the top level first, then -1; nothing but -1 where no
        node is chosen.
    hierarchy : Hierarchy
        The hierarchy.
    reject_label : object, optional
        What a path of nothing but -1 holds as its only label.
    width : int, default=0
        The least number of columns.

    Returns
    -------
    ndarray of shape (n, max(n_steps, width))
        Padded as :meth:`Hierarchy.name_paths` does.
    """
    n_missing = width - paths.shape[1]
    if n_missing > 0:
        paths = np.pad(paths, ((0, 0), (0, n_missing)), constant_values=-1)
    rejected = np.flatnonzero(paths[:, 0] < 0)
    if not len(rejected):
        return hierarchy.name_paths(paths)
    if is_missing(reject_label) or reject_label == "":
        raise ValueError(
            f"reject_label={reject_label!r} is how paths are padded: choose a word such as "
            "'unknown' for what has no answer"
        )
    # One more path to a node, so that the names are of the type that they always have.
    some_path = np.full((1, paths.shape[1]), -1)
    some_path[0, 0] = 0
    named = hierarchy.name_paths(np.concatenate((paths, some_path)))[:-1]
    if named.dtype.kind == "U" and isinstance(reject_label, str):
        named = named.astype(np.result_type(named, np.array(reject_label)))
    else:
        named = named.astype(object)
    for row in rejected.tolist():  # at once, a tuple would be several labels
        named[row, 0] = reject_label
    return named
