"""The probability from which on a node is predicted: one for all nodes, or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import plain_array

_DEFAULT = 0.5


def read_thresholds(threshold: Any, hierarchy: Hierarchy) -> float | NDArray[np.float64]:
    """Read the parameter ``threshold``.

    Parameters
    ----------
    threshold : float, array-like of shape (n_nodes,) or mapping
        As the user gave it. Nodes that are no keys of a mapping have 0.5.
    hierarchy : Hierarchy
        The hierarchy.

    Returns
    -------
    float or ndarray of shape (n_nodes,)
        One for all nodes, or one for each in their order.

    Raises
    ------
    ValueError
        If one is not in [0, 1], there are more or fewer than nodes, or a key is no node; the
        message names what is wrong.

    Examples
    --------
    >>> from hierclf import Hierarchy
    >>> read_thresholds({"b": 0.25}, Hierarchy.flat(["a", "b"]))
    array([0.5 , 0.25])
    """
    nodes = hierarchy.nodes
    if isinstance(threshold, Mapping):
        keys = list(threshold)
        try:
            positions = hierarchy.node_indices(plain_array(keys))
        except ValueError as error:
            raise ValueError(f"threshold has keys that are no nodes: {error}") from None
        given = list(threshold.values())
        named = keys
    elif isinstance(threshold, Real):
        positions, given, named = np.arange(0), [threshold], []
    else:
        array = np.asarray(threshold)
        if array.shape != (len(nodes),):
            raise ValueError(
                f"threshold must be a number or have one for each of the {len(nodes)} nodes, in "
                f"the order of hierarchy_.nodes; its shape is {array.shape}"
            )
        positions, given, named = np.arange(len(nodes)), array.tolist(), list(nodes)
    for i, value in enumerate(given):
        is_number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
        if not is_number or not 0 <= value <= 1:
            where = f" for {named[i]!r}" if named else ""
            raise ValueError(f"threshold must be in [0, 1], got {value!r}{where}")
    if isinstance(threshold, Real):
        return float(threshold)
    thresholds = np.full(len(nodes), _DEFAULT)
    thresholds[positions] = given
    return thresholds
