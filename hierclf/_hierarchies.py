"""The hierarchy of an estimator, given or fitted, and what classes and answers are called in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_list, is_hashable, is_missing, plain_array

# Where meta-estimators keep what they wrap, the fitted first: a search may have given it
# another hierarchy.
_WRAPPED = ("best_estimator_", "estimator_", "estimator")


def fitted_hierarchy(estimator: Any, hierarchy: Any = None) -> Hierarchy:
    """Return the hierarchy given, or else that of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier, or a pipeline or meta-estimator around one.
    hierarchy : Hierarchy, dict, edges or graph, optional
        What to use instead.

    Returns
    -------
    Hierarchy
        The ``hierarchy_`` of the outermost that has one.

    Raises
    ------
    ValueError
        If there is none.
    """
    if hierarchy is not None:
        return as_hierarchy(hierarchy)
    check_is_fitted(estimator)
    found = _search(estimator, lambda inner: getattr(inner, "hierarchy_", None))
    if found is None:
        raise ValueError(
            f"{type(estimator).__name__} knows no hierarchy (it has no attribute hierarchy_): "
            "pass hierarchy="
        )
    return as_hierarchy(found)


def given_hierarchy(estimator: Any) -> Hierarchy:
    """Return the whole hierarchy that the user gave an estimator, or one inside it.

    Parameters
    ----------
    estimator : estimator
        A classifier, or a pipeline or meta-estimator around one.

    Returns
    -------
    Hierarchy

    Raises
    ------
    ValueError
        If there is none, or it is learnt from the data.
    """
    found = hierarchy_param(estimator)
    if hasattr(found, "fit"):
        raise ValueError(
            f"the hierarchy of {type(estimator).__name__} is learnt from the data by {found!r}, "
            "so it differs from fold to fold"
        )
    if found is None:
        raise ValueError(f"{type(estimator).__name__} was given no hierarchy")
    return as_hierarchy(found)


def hierarchy_param(estimator: Any) -> Any:
    """Return the parameter `hierarchy` of an estimator, or one inside it, as it was given."""
    return _search(estimator, lambda inner: getattr(inner, "hierarchy", None))


def _search(estimator: Any, look: Callable[[Any], Any]) -> Any:
    """Look at an estimator and then at what it wraps until something is found."""
    while estimator is not None:
        found = look(estimator)
        if found is not None:
            return found
        steps = getattr(estimator, "steps", None)
        wrapped = (getattr(estimator, name, None) for name in _WRAPPED)
        estimator = steps[-1][1] if steps else next((w for w in wrapped if w is not None), None)
    return None


def own_hierarchy(estimator: Any) -> Hierarchy | None:
    """Return the fitted hierarchy of a classifier of ours, or of one inside; None for others.

    Other packages have attributes of that name whose nodes may not be the labels.
    """
    found = _search(estimator, lambda inner: getattr(inner, "hierarchy_", None))
    return found if isinstance(found, Hierarchy) else None


def classes_in(hierarchy: Hierarchy, estimator: Any) -> NDArray[Any]:
    """Return the classes of a fitted estimator as another hierarchy names them.

    An estimator that is trained on paths calls a class by the last name of its path where that
    name is unique, else by the whole path. Whoever has seen more paths may need the whole one.

    Parameters
    ----------
    hierarchy : Hierarchy
        The other hierarchy.
    estimator : estimator
        A fitted classifier, or a pipeline or meta-estimator around one.

    Returns
    -------
    ndarray of shape (n_classes,)
        The ``classes_`` themselves, unless one is not in the hierarchy and the paths to all are.
    """
    classes: NDArray[Any] = np.asarray(estimator.classes_)
    own = own_hierarchy(estimator)
    if own is None or all(c in hierarchy for c in as_list(classes)):
        return classes
    try:
        return hierarchy.leaves_from_paths(own.paths_from_leaves(classes))
    except ValueError:
        return classes  # whoever looks them up says which are unknown


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
    names = plain_array([hierarchy.nodes[i] for i in used.tolist()])
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
