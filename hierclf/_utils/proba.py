"""Probabilities of classes, as ``predict_proba`` of any classifier returns them, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array, repeated, shorten

# How far the probabilities of a row may be from a sum of 1: float16 keeps about 3 digits.
_TOLERANCE = 1e-2


def read_proba(
    proba: ArrayLike, classes: ArrayLike, hierarchy: Hierarchy, name: str = "proba"
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[Any]]:
    """Read probabilities of classes, all of which are nodes of a hierarchy.

    Parameters
    ----------
    proba : array-like of shape (n, n_classes)
        Finite numbers, not negative. They need not sum to 1, but where one class is above
        another their sum must not be more.
    classes : array-like of shape (n_classes,)
        What the columns stand for: at least one node, none twice.
    hierarchy : Hierarchy
        The hierarchy.
    name : str, default="proba"
        What the probabilities are called in errors.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The labels.
    positions : ndarray of shape (n_classes,), dtype intp
        Their positions in ``hierarchy.nodes``.
    proba : ndarray of shape (n, n_classes)
        Of a float dtype: the array itself, if it has one.

    Raises
    ------
    ValueError
        If one of them is not as described; the message names it.
    """
    labels, positions = read_classes(classes, hierarchy)
    values = check_proba(proba, labels, name)
    _check_exclusive(values, labels, positions, hierarchy, name)
    return labels, positions, values


def _check_exclusive(
    values: NDArray[Any],
    labels: NDArray[Any],
    positions: NDArray[np.intp],
    hierarchy: Hierarchy,
    name: str,
) -> None:
    """Refuse probabilities that nodes have each by itself: they would be added up."""
    totals = values.sum(axis=1, dtype=np.float64)
    if totals.max(initial=0) <= 1 + _TOLERANCE:
        return
    columns, above = hierarchy.ancestor_pairs(positions)
    overlaps = np.flatnonzero(np.isin(above, positions) & (above != positions[columns]))
    if len(overlaps):
        row, first = int(totals.argmax()), overlaps[0]
        names = [hierarchy.nodes[i] for i in (above[first], positions[columns[first]])]
        raise ValueError(
            f"the sum of row {row} of {name} is {totals[row]:.3g}, and the class {names[0]!r} is "
            f"above the class {names[1]!r}: such probabilities, which nodes have each by itself, "
            "are not those of one label per sample. "
            "hierclf.decisions.HierarchicalThresholdClassifierCV chooses several"
        )


def read_classes(classes: ArrayLike, hierarchy: Hierarchy) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Read what columns stand for: at least one node, none twice; see :func:`read_proba`."""
    labels = classes if isinstance(classes, np.ndarray) else plain_array(as_labels(classes))
    positions = hierarchy.node_indices(labels)
    if not len(positions):
        raise ValueError("there are no classes to choose from")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"classes given twice: {shorten(repeated(labels.tolist()))}")
    return labels, positions


def check_proba(
    proba: ArrayLike, classes: NDArray[Any], name: str, columns: str = "classes"
) -> NDArray[Any]:
    """Check what may be a probability for each sample and class; see :func:`read_proba`.

    The last parameter says what the columns are called in errors.
    """
    values = check_scores(proba, classes, name, columns, allow_nan=True)
    # The extremes need no array as large as the probabilities; of NaN they are NaN.
    with np.errstate(invalid="ignore"):
        least, most = values.min(initial=0), values.max(initial=0)
    if not (least >= 0 and most < np.inf):
        row, column = np.argwhere(~(np.isfinite(values) & (values >= 0)))[0]
        raise ValueError(
            f"{name} must hold probabilities, finite and not negative: row {row} has "
            f"{values[row, column]} for class {as_labels(classes)[column]!r}"
        )
    return values


def check_scores(
    scores: ArrayLike,
    classes: NDArray[Any],
    name: str,
    columns: str = "classes",
    *,
    allow_nan: bool = False,
) -> NDArray[Any]:
    """Check numbers for each sample and class, such as log-probabilities.

    Parameters
    ----------
    scores : array-like of shape (n, n_classes)
        Numbers.
    classes : ndarray of shape (n_classes,)
        What the columns stand for.
    name : str
        What the scores are called in errors.
    columns : str, default="classes"
        What the columns are called in errors.
    allow_nan : bool, default=False
        Whether they may be NaN.

    Returns
    -------
    ndarray of shape (n, n_classes)
        Of a float dtype: the array itself, if it has one.

    Raises
    ------
    ValueError
        If they are not as described; the message names what is wrong.
    """
    values = np.asarray(scores)
    if values.ndim != 2 or values.shape[1] != len(classes):
        raise ValueError(
            f"{name} must have one column for each of the {len(classes)} {columns}, "
            f"its shape is {values.shape}"
        )
    if values.dtype.kind != "f":
        try:
            if values.dtype.kind not in "biuO":  # objects may be numbers: pandas has such columns
                raise TypeError
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must hold numbers, its dtype is {values.dtype}") from None
    # The least of all needs no array as large as the scores, and is NaN where one is.
    if not allow_nan and np.isnan(values.min(initial=0)):
        row, column = np.argwhere(np.isnan(values))[0]
        raise ValueError(f"{name} has NaN in row {row} for class {as_labels(classes)[column]!r}")
    return values
