"""Groups of like classes, from the top down: balanced k-means of their centroids."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.extmath import row_norms

from hierclf._utils.sklearn_private import Interval
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._groups import even_bounds
from hierclf.induction._base import grow, name_groups
from hierclf.induction._points import BaseLikeness

# A round that moves no more than this share of the classes is the last.
_FEW = 0.001


class KMeansHierarchy(BaseLikeness):
    """A balanced tree in which classes with like features are near each other.

    The means of the classes are divided into groups of the same size by k-means, and each group
    is divided again until it is no larger than `branching`. The tree has the shape of
    :class:`BalancedHierarchy`: it is as shallow as the branching allows.

    Parameters
    ----------
    branching : int, optional
        Maximum number of children of a node, at least 2. None is the square root of the
        number of classes, rounded up.
    features : transformer, optional
        What finds features in X, such as a ``TfidfVectorizer`` where X holds texts that an
        encoder reads. None: X holds the features.
    metric : {"auto", "cosine", "euclidean"}, default="auto"
        Whether the directions of the means are compared, or the means themselves. "auto" is
        "cosine" for a sparse X, else "euclidean": features should then be of one scale.
    max_iter : int, default=10
        Maximum number of rounds of k-means for each group.
    random_state : int, RandomState instance or None, default=None
        Determines where k-means starts.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree. Its inner nodes are ``("group", number)``, numbered level by level.

    See Also
    --------
    AgglomerativeHierarchy : Groups of any size, for some thousand classes.

    Notes
    -----
    In each round a class goes to the nearest center that has room. Where too many want the same,
    those stay for which the second choice would be the worst. For two groups this is the division
    of [1]_: classes are sorted by the difference of their distances, and cut in the middle.

    References
    ----------
    .. [1] Y. Prabhu et al., "Parabel: Partitioned Label Trees for Extreme Classification with
       Application to Dynamic Search Advertising", WWW 2018, section 3.1.

    Examples
    --------
    >>> from hierclf.induction import KMeansHierarchy
    >>> X = [[0.0], [5.0], [0.1], [5.1]]
    >>> tree = KMeansHierarchy(branching=2, random_state=0).fit(X, ["a", "b", "c", "d"]).hierarchy_
    >>> print(tree)
    Hierarchy.ROOT
    ├── ('group', 0)
    │   ├── a
    │   └── c
    └── ('group', 1)
        ├── b
        └── d
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseLikeness._parameter_constraints,
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        branching: int | None = None,
        *,
        features: Any = None,
        metric: Literal["auto", "cosine", "euclidean"] = "auto",
        max_iter: int = 10,
        random_state: Any = None,
    ) -> None:
        self.branching = branching
        self.features = features
        self.metric = metric
        self.max_iter = max_iter
        self.random_state = random_state

    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        random_state = check_random_state(self.random_state)
        branching = self._width(len(classes))
        points = self._centroids(X, codes)

        def split(members: NDArray[np.intp]) -> list[NDArray[np.intp]]:
            sizes = np.diff(even_bounds(len(members), branching))
            part = _divide(points[members], sizes, int(self.max_iter), random_state)
            parts = [members[part == k] for k in range(len(sizes))]
            return sorted(parts, key=lambda part: int(part[0]))

        return name_groups(classes, grow(len(classes), branching, split))


def _divide(
    points: Any, sizes: NDArray[np.intp], max_iter: int, random_state: np.random.RandomState
) -> NDArray[np.intp]:
    """Return the part of each point: k-means whose parts have given sizes."""
    if hasattr(points, "indices"):  # sparse: features that none of these classes has cost time
        points = points[:, np.unique(points.indices)]
    centers = _spread(points, len(sizes), random_state)
    part = np.full(points.shape[0], -1)
    for _ in range(max_iter):
        before, part = part, _assign(_costs(points, centers), sizes)
        if (part != before).sum() <= _FEW * len(part):
            break
        belongs = np.eye(len(sizes), dtype=points.dtype)[part]
        centers = np.asarray(points.T @ belongs).T / sizes[:, None].astype(points.dtype)
    return part


def _spread(points: Any, k: int, random_state: np.random.RandomState) -> NDArray[Any]:
    """Return k of the points, each likely to be far from those before it: k-means++."""
    squares = row_norms(points, squared=True)
    nearest = np.full(len(squares), np.inf)
    chosen = [random_state.randint(len(squares))]
    while True:
        center = _dense(points[chosen[-1:]])[0]
        distances = squares + squares[chosen[-1]] - 2 * (points @ center)
        nearest = np.minimum(nearest, np.maximum(distances, 0))
        nearest[chosen[-1]] = 0  # not so by rounding alone
        if len(chosen) == k:
            break
        totals = nearest.cumsum()
        place = totals.searchsorted(random_state.uniform() * totals[-1], side="right")
        chosen.append(min(int(place), len(squares) - 1))
    return _dense(points[chosen])


def _dense(rows: Any) -> NDArray[Any]:
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows)


def _costs(points: Any, centers: NDArray[Any]) -> NDArray[Any]:
    """Return the squared distance to each center, less the square of the point itself."""
    costs = points @ (-2 * centers.T)
    costs += np.einsum("kd,kd->k", centers, centers)
    return np.asarray(costs)


def _assign(costs: NDArray[Any], sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give each point a part, near to it, so that each part gets as many as it has room for.

    The costs are overwritten.
    """
    room = sizes.copy()
    part = np.full(len(costs), -1)
    waiting = np.arange(len(costs))
    while True:
        choice = costs.argmin(axis=1)
        places = np.arange(len(waiting))
        best = costs[places, choice]
        costs[places, choice] = np.inf
        regret = costs.min(axis=1) - best
        costs[places, choice] = best
        # Of those that want the same part, the ones that would regret the other most come first.
        order = np.lexsort((-regret, choice))
        first = np.searchsorted(choice[order], np.arange(len(room)))
        rank = np.arange(len(order)) - first[choice[order]]
        taken = order[rank < room[choice[order]]]
        part[waiting[taken]] = choice[taken]
        if len(taken) == len(waiting):
            return part
        room -= np.bincount(choice[taken], minlength=len(room))
        left = np.ones(len(waiting), dtype=bool)
        left[taken] = False
        waiting, costs = waiting[left], costs[left]
        costs[:, room == 0] = np.inf
