"""What decisions share: from probabilities to one node for each row."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from hierclf._utils.blocks import by_blocks
from hierclf._utils.param_object import ParamObject
from hierclf._utils.proba import read_proba
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import plain_array

# Takes probabilities of shape (n, n_classes), returns positions in `hierarchy.nodes`, (n,).
Rule = Callable[[NDArray[Any]], NDArray[np.intp]]


class BaseDecision(ParamObject):
    """Chooses a node for each row, given the probabilities of the classes.

    For a decision of your own, subclass it and define :meth:`build`. Its parameters are
    those of ``__init__``, as in any scikit-learn estimator.

    Examples
    --------
    The likeliest class where it leads by a margin, and else its parent:

    >>> import numpy as np
    >>> from hierclf.decisions import BaseDecision
    >>> class Margin(BaseDecision):
    ...     def __init__(self, margin=0.2):
    ...         self.margin = margin
    ...
    ...     def build(self, classes, hierarchy, level=None):
    ...         if level is not None:
    ...             raise ValueError("Margin cannot promise a node of a level")
    ...         paths = [hierarchy.path(hierarchy.nodes[i]) for i in classes]
    ...         above = hierarchy.node_indices([path[-2:][0] for path in paths])
    ...
    ...         def rule(proba):
    ...             second, first = np.sort(proba, axis=1)[:, -2:].T
    ...             likeliest = proba.argmax(axis=1)
    ...             leads = first - second >= self.margin
    ...             return np.where(leads, classes[likeliest], above[likeliest])
    ...
    ...         return rule
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> proba = [[0.7, 0.2, 0.1], [0.45, 0.4, 0.15]]
    >>> Margin(0.2).decide(proba, ["cat", "dog", "oak"], tree)
    array(['cat', 'animal'], dtype='<U6')

    An object of it is a ``decision=`` of a classifier, and ``decision__margin`` can be searched.
    """

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision for some classes.

        Parameters
        ----------
        classes : ndarray of shape (n_classes,), dtype intp
            What the columns of the probabilities stand for: positions in
            ``hierarchy.nodes``.
        hierarchy : Hierarchy
            The hierarchy.
        level : int, "leaf" or "parent", optional
            Where every row must get a node of one level, that level.

        Returns
        -------
        callable
            Takes probabilities, an ndarray of shape (n, n_classes), and returns the
            positions in ``hierarchy.nodes`` of the nodes chosen, of shape (n,).

        Raises
        ------
        ValueError
            If a parameter does not fit the classes, a class is above the level, or the
            decision cannot promise a node of the level.
        """
        raise NotImplementedError

    def decide(
        self, proba: ArrayLike, classes: ArrayLike, hierarchy: Any, level: int | str | None = None
    ) -> NDArray[Any]:
        """Choose a node for each row of any classifier's probabilities.

        Parameters
        ----------
        proba : array-like of shape (n, n_classes)
            What ``predict_proba`` returned: finite and not negative.
        classes : array-like of shape (n_classes,)
            What the columns stand for: ``classes_`` of the classifier. Leaves, as a
            rule; the mass of an inner node is that of rows known no further.
        hierarchy : Hierarchy, dict, edges or graph
            The hierarchy, which has all classes.
        level : int, "leaf" or "parent", optional
            Choose among the nodes of this level.

        Returns
        -------
        ndarray of shape (n,)
            Nodes; in the dtype of ``classes`` where all of them are classes.

        Raises
        ------
        ValueError
            If a parameter is wrong, the shapes do not fit, a value is no probability, a
            class is not in the hierarchy or above the level, or the decision cannot
            promise a node of the level.
        """
        self.check()
        hierarchy = as_hierarchy(hierarchy)
        labels, positions, values = read_proba(proba, classes, hierarchy)
        rule = self.build(positions, hierarchy, level)
        return name_nodes(by_blocks(rule, values), labels, positions, hierarchy)


def name_nodes(
    nodes: NDArray[np.intp],
    classes: NDArray[Any],
    positions: NDArray[np.intp],
    hierarchy: Hierarchy,
) -> NDArray[Any]:
    """Return the labels of chosen nodes, in the dtype of the classes if all are classes.

    Parameters
    ----------
    nodes : ndarray of shape (n,), dtype intp
        Positions in ``hierarchy.nodes``.
    classes, positions : ndarray of shape (n_classes,)
        The classes, and their positions.
    hierarchy : Hierarchy
        The hierarchy.

    Returns
    -------
    ndarray of shape (n,)
        Labels.
    """
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


def covering(
    classes: NDArray[np.intp], hierarchy: Hierarchy
) -> tuple[NDArray[np.intp], csr_array[Any]]:
    """Return the nodes that probabilities can reach, and the matrix that sums them.

    `Hierarchy.aggregate` for many blocks of rows: what does not depend on them is done once.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,), dtype intp
        Positions in ``hierarchy.nodes``.
    hierarchy : Hierarchy
        The hierarchy.

    Returns
    -------
    nodes : ndarray of shape (n_nodes,), dtype intp
        The positions of the nodes that have a class at or below them, in node order.
    sums : csr_array of shape (n_nodes, n_classes), dtype float64
        1 where the class is at or below the node: ``sums @ proba.T`` is the probability
        of each node, in double precision, since a node may have very many classes below.
    """
    columns, above = hierarchy.ancestor_pairs(classes)
    nodes, rows = np.unique(above, return_inverse=True)
    ones = np.ones(len(columns))
    return nodes, csr_array((ones, (rows.reshape(-1), columns)), shape=(len(nodes), len(classes)))


def by_depth(nodes: NDArray[np.intp], hierarchy: Hierarchy) -> list[slice]:
    """Return the slices of equally deep nodes, the top level first; `nodes` in node order."""
    bounds = np.unique(np.searchsorted(nodes, hierarchy.arrays.depth_offsets)).tolist()
    return [slice(*ends) for ends in pairwise(bounds)]


def nodes_of_level(
    classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str
) -> NDArray[np.intp]:
    """Return the nodes of a level that have a class at or below them.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,), dtype intp
        Positions in ``hierarchy.nodes``.
    hierarchy : Hierarchy
        The hierarchy.
    level : int, "leaf" or "parent"
        The level.

    Returns
    -------
    ndarray of shape (n_nodes,), dtype intp
        Positions in node order; `classes` itself, in its own order, where these are the
        nodes, so that equals are told apart as without a level.

    Raises
    ------
    ValueError
        If there is no such level, or a class is above it.
    """
    _, above = hierarchy.level_pairs(classes, level)
    nodes = np.unique(above)
    return classes if np.array_equal(nodes, np.sort(classes)) else nodes
