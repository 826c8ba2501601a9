"""Which hierarchy an estimator has, or what it wraps: that it was given, and that it learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.utils.validation import check_is_fitted

from hierclf.hierarchy import Hierarchy, as_hierarchy

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
    found = look_inside(estimator, lambda inner: getattr(inner, "hierarchy", None))
    if hasattr(found, "fit"):
        raise ValueError(
            f"the hierarchy of {type(estimator).__name__} is learnt from the data by {found!r}, "
            "so it differs from fold to fold: pass hierarchy= to judge all by the same"
        )
    if found is None:
        raise ValueError(f"{type(estimator).__name__} was given no hierarchy: pass hierarchy=")
    return as_hierarchy(found)


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
