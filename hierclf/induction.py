"""Hierarchies built from the training data: give one as ``hierarchy=`` of a classifier.

An inducer is an object with a method ``fit(X, y)``. It sets ``hierarchy_``, a tree whose leaves
are the classes of ``y``. A grid search can set its parameters: ``hierarchy__branching``.
"""

from __future__ import annotations

from math import ceil, sqrt
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import column_or_1d

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.sklearn_private import Interval, fit_context
from hierclf.hierarchy import Hierarchy

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BalancedHierarchy"]


class BalancedHierarchy(BaseEstimator):
    """A tree over the sorted classes in which all nodes have about the same number of children.

    It ignores the data. Use it to speed up a softmax over many classes, or as a baseline that
    shows what a real taxonomy is worth.

    Parameters
    ----------
    branching : int, optional
        Maximum number of children of a node, at least 2. None is the square root of the
        number of classes, rounded up: the two-level softmax of language models.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree.

    See Also
    --------
    Hierarchy.balanced : The same tree from a list of classes.

    Examples
    --------
    >>> from hierclf.induction import BalancedHierarchy
    >>> tree = BalancedHierarchy(branching=2).fit(None, ["a", "b", "c", "d"]).hierarchy_
    >>> print(tree)
    Hierarchy.ROOT
    ├── ('a', 'b')
    │   ├── a
    │   └── b
    └── ('c', 'd')
        ├── c
        └── d
    """

    hierarchy_: Hierarchy

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "branching": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(self, branching: int | None = None) -> None:
        self.branching = branching

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: object, y: ArrayLike) -> Self:
        """Build the tree.

        Parameters
        ----------
        X : object
            Not used, present because other inducers look at the features.
        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        BalancedHierarchy
            The fitted inducer.
        """
        classes = np.unique(column_or_1d(y)).tolist()
        branching = int(self.branching or max(2, ceil(sqrt(len(classes)))))
        self.hierarchy_ = Hierarchy.balanced(classes, branching)
        return self
