"""What decisions share: from probabilities to one node for each sample."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from hierclf._utils.blocks import by_blocks
from hierclf._utils.naming import name_nodes
from hierclf._utils.param_object import ParamObject
from hierclf._utils.proba import read_proba
from hierclf.hierarchy import Hierarchy, as_hierarchy

# Takes probabilities of shape (n, n_classes), returns positions in `hierarchy.nodes`, (n,), and -1
# for no answer.
Rule = Callable[[NDArray[Any]], NDArray[np.intp]]


class BaseDecision(ParamObject):
    """Chooses a node for each sample, given the probabilities of the classes.

    For a decision of your own, subclass it and define :meth:`build`. Its parameters are those
    of ``__init__``, as in any scikit-learn estimator. A decision that may give no answer has
    the parameter `reject_label`: what is predicted where its rule returns -1.

    Examples
    --------
    A decision that answers only where one class has at least half of the probability:

    >>> from hierclf.decisions import BaseDecision
    >>> class Majority(BaseDecision):
    ...     def __init__(self, reject_label="unknown"):
    ...         self.reject_label = reject_label
    ...
    ...     def build(self, classes, hierarchy, level=None):
    ...         def rule(proba):
    ...             has_majority = proba.max(axis=1) >= 0.5
    ...             return np.where(has_majority, classes[proba.argmax(axis=1)], -1)
    ...
    ...         return rule
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> proba = [[0.25, 0.625, 0.125], [0.25, 0.375, 0.375]]
    >>> Majority().decide(proba, ["cat", "dog", "oak"], tree)
    array(['dog', 'unknown'], dtype='<U7')
    """

    reject_label: Any = None

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
            The level, where every sample must get a node of one level.

        Returns
        -------
        callable
            Takes probabilities, an ndarray of shape (n, n_classes), and returns the
            positions in ``hierarchy.nodes`` of the nodes chosen, of shape (n,). -1 stands
            for no answer.

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
        """Choose a node for each sample, from any classifier's probabilities.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_classes)
            What ``predict_proba`` returned: finite and not negative.
        classes : array-like of shape (n_classes,)
            What the columns stand for: ``classes_`` of the classifier. They are leaves, as a
            rule; the probability of an inner node is that of a sample known no further.
        hierarchy : Hierarchy, dict, edges or graph
            The hierarchy, which has all classes.
        level : int, "leaf" or "parent", optional
            Choose among the nodes of this level.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nodes, in the dtype of ``classes`` where all of them are classes. Where there is
            no answer, the ``reject_label`` of the decision.

        Raises
        ------
        ValueError
            If a parameter is wrong, the shapes do not fit, a value is no probability, a
            class is not in the hierarchy or above the level, or the decision cannot
            promise a node of the level.
        """
        hierarchy = as_hierarchy(hierarchy)
        labels, positions, nodes = choose_nodes(self, proba, classes, hierarchy, level)
        return name_nodes(nodes, labels, positions, hierarchy, self.reject_label)


def choose_nodes(
    decision: BaseDecision,
    proba: ArrayLike,
    classes: ArrayLike,
    hierarchy: Hierarchy,
    level: int | str | None = None,
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
    """Choose nodes as :meth:`BaseDecision.decide` does.

    Returns
    -------
    labels, positions : ndarray of shape (n_classes,)
        The classes, and their positions in ``hierarchy.nodes``.
    nodes : ndarray of shape (n,), dtype intp
        The positions of the nodes chosen, -1 for no answer.
    """
    decision.check()
    labels, positions, values = read_proba(proba, classes, hierarchy)
    rule = decision.build(positions, hierarchy, level)
    return labels, positions, by_blocks(rule, values)


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
