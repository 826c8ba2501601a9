"""What inducers share: they read y, and turn groups of classes into a hierarchy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from math import ceil, sqrt
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.sklearn_private import Interval, fit_context
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._groups import tree_of_groups
from hierclf.hierarchy._nodes import as_list, clean_node

if TYPE_CHECKING:
    from typing_extensions import Self

Split = Callable[[NDArray[np.intp]], list[NDArray[np.intp]]]


class BaseInducer(BaseEstimator, ABC):
    """A hierarchy that is built from the samples. A subclass defines :meth:`_induce`."""

    hierarchy_: Hierarchy

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Build the tree.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The features, or what ``features`` reads. Those inducers that have no parameter
            ``features`` do not look at it.
        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        object
            The fitted inducer.

        Raises
        ------
        ValueError
            If a parameter, X or y is not as described; the message names it.
        """
        classes, codes = np.unique(column_or_1d(y), return_inverse=True)
        if not len(classes):
            raise ValueError("y holds no labels: at least one is required")
        self.hierarchy_ = self._induce(X, classes, codes.reshape(-1))
        return self

    @abstractmethod
    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        """Return the tree, given the sorted classes and which of them each sample has."""


class BaseGrouping(BaseInducer):
    """A tree over groups of classes with a largest number of children."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "branching": [Interval(Integral, 2, None, closed="left"), None],
    }

    branching: int | None

    def _width(self, n_classes: int) -> int:
        """Return the largest number of children: what was given, or the square root."""
        return int(self.branching or max(2, ceil(sqrt(n_classes))))


def name_groups(classes: NDArray[Any], parents: ArrayLike) -> Hierarchy:
    """Return the tree of classes and groups, of which each one's parent is given.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        The sorted classes.
    parents : array-like of shape (n_classes + n_groups,)
        Numbers of groups: the first is ``n_classes``. That of the root is -1.

    Returns
    -------
    Hierarchy
        Groups are named ``("group", number)``.
    """
    nodes = [clean_node(c, "in y") for c in as_list(classes)]
    return Hierarchy._from_graph(tree_of_groups(nodes, parents))


def grow(n_classes: int, branching: int, split: Split) -> NDArray[np.intp]:
    """Divide classes into groups, and these into smaller ones, from the top down.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    branching : int
        So many classes, or fewer, are divided no further.
    split : callable
        Takes the numbers of more classes than that, and returns those of each part.

    Returns
    -------
    ndarray of shape (n_classes + n_groups,)
        The parent of each class and then of each group, as :func:`name_groups` takes them.
    """
    parents = np.empty(n_classes, dtype=np.intp)
    of_groups = [-1]
    waiting = deque([(n_classes, np.arange(n_classes))])
    while waiting:
        parent, members = waiting.popleft()
        if len(members) <= branching:
            parents[members] = parent
            continue
        for part in split(members):
            if len(part) == 1:
                parents[part] = parent
            else:
                waiting.append((n_classes + len(of_groups), part))
                of_groups.append(parent)
    return np.concatenate([parents, of_groups])
