"""Which hierarchy an estimator has, or what it wraps: that it was given, and that it learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_list

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
    found = look_inside(estimator, lambda inner: getattr(inner, "hierarchy_", None))
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
    return look_inside(estimator, lambda inner: getattr(inner, "hierarchy", None))


def look_inside(estimator: Any, look: Callable[[Any], Any]) -> Any:
    """Look at an estimator and then at what it wraps until something is found."""
    while estimator is not None:
        found = look(estimator)
        if found is not None:
            return found
        steps = getattr(estimator, "steps", None)
        wrapped = (getattr(estimator, name, None) for name in _WRAPPED)
        estimator = steps[-1][1] if steps else next((w for w in wrapped if w is not None), None)
    return None


def is_multilabel(estimator: Any) -> bool:
    """Tell whether an estimator, or what it wraps, was fitted to several labels per sample."""
    return bool(look_inside(estimator, lambda inner: getattr(inner, "multilabel_", None)))


def own_hierarchy(estimator: Any) -> Hierarchy | None:
    """Return the fitted hierarchy of a classifier of ours, or of one inside; None for others.

    Other packages have attributes of that name whose nodes may not be the labels.
    """
    found = look_inside(estimator, lambda inner: getattr(inner, "hierarchy_", None))
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
