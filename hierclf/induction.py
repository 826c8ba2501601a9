"""Hierarchies built from the training data: give one as ``hierarchy=`` of a classifier.

An inducer is an object with ``fit(X, y)`` that sets ``hierarchy_``, a tree whose
leaves are the classes of ``y``. Its parameters can be searched:
``hierarchy__branching``.
"""

from __future__ import annotations

from math import ceil, sqrt
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import column_or_1d

from hierclf._utils.sklearn_private import Interval, fit_context
from hierclf.hierarchy import Hierarchy

__all__ = ["BalancedHierarchy"]


class BalancedHierarchy(BaseEstimator):  # type: ignore[misc]
    """A tree over the sorted classes in which every node has about as many children.

    It knows nothing of the data: use it to speed up a softmax over many classes, or
    as the tree to beat when asking what a real taxonomy is worth.

    Parameters
    ----------
    branching : int, optional
        The most children that a node has, at least 2. None is the square root of
        the number of classes, rounded up: the two-level softmax of language models.

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "branching": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(self, branching: int | None = None) -> None:
        self.branching = branching

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: ArrayLike) -> BalancedHierarchy:
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
