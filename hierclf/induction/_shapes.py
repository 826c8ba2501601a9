"""Trees that follow from the number of classes or samples alone, whatever the features are."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from hierclf._utils.sklearn_private import Interval
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._groups import even_bounds, join_rarest
from hierclf.hierarchy._nodes import as_list
from hierclf.induction._base import BaseGrouping, BaseInducer, grow, name_groups


class BalancedHierarchy(BaseGrouping):
    """A tree over the sorted classes in which all nodes have about the same number of children.

    It ignores the data. Use it to speed up a softmax over many classes whose order means
    something, such as codes. :class:`RandomHierarchy` has the same shape without the order.

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

    def __init__(self, branching: int | None = None) -> None:
        self.branching = branching

    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        return Hierarchy.balanced(as_list(classes), self._width(len(classes)))


class RandomHierarchy(BaseGrouping):
    """A balanced tree over the classes in random order: the control.

    What another tree is worth shows against this one, which has the same shape and no meaning.

    Parameters
    ----------
    branching : int, optional
        Maximum number of children of a node, at least 2. None is the square root of the
        number of classes, rounded up.
    random_state : int, RandomState instance or None, default=None
        Determines the order of the classes.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree. Its inner nodes are ``("group", number)``, numbered level by level.

    See Also
    --------
    BalancedHierarchy : The same shape over the sorted classes.

    Examples
    --------
    >>> from hierclf.induction import RandomHierarchy
    >>> print(RandomHierarchy(branching=2, random_state=0).fit(None, list("abcd")).hierarchy_)
    Hierarchy.ROOT
    ├── ('group', 0)
    │   ├── c
    │   └── d
    └── ('group', 1)
        ├── a
        └── b
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseGrouping._parameter_constraints,
        "random_state": ["random_state"],
    }

    def __init__(self, branching: int | None = None, *, random_state: Any = None) -> None:
        self.branching = branching
        self.random_state = random_state

    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        n, branching = len(classes), self._width(len(classes))
        order = check_random_state(self.random_state).permutation(n)

        def split(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
            return [places[a:b] for a, b in pairwise(even_bounds(len(places), branching))]

        parents = grow(n, branching, split)
        parents[order] = parents[:n].copy()
        return name_groups(classes, parents)


class HuffmanHierarchy(BaseInducer):
    """The tree in which the class of a sample is least deep on average.

    The rarer a class, the longer its path: where a few classes have most of the samples, a softmax
    over it computes the fewest groups for each sample. It does not look at features, so that
    nodes side by side have nothing else in common.

    Parameters
    ----------
    branching : int, default=2
        Number of children, at least 2; one node may have fewer.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree. Its inner nodes are ``("group", number)``, numbered level by level.

    See Also
    --------
    Hierarchy.huffman : The same tree from counts.

    Examples
    --------
    >>> from hierclf.induction import HuffmanHierarchy
    >>> print(HuffmanHierarchy().fit(None, list("aaaabbbcd")).hierarchy_)
    Hierarchy.ROOT
    ├── a
    └── ('group', 0)
        ├── b
        └── ('group', 1)
            ├── c
            └── d
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "branching": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(self, branching: int = 2) -> None:
        self.branching = branching

    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        return name_groups(classes, join_rarest(np.bincount(codes), int(self.branching)))
