"""Groups of like classes, from the bottom up: a dendrogram, cut so that its nodes are wide."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Any, ClassVar, Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from hierclf._utils.sklearn_private import HasMethods, StrOptions
from hierclf.hierarchy import Hierarchy
from hierclf.induction._base import name_groups
from hierclf.induction._points import BaseLikeness, read_features
from hierclf.induction._quick import held_out_proba, quick_model

_LINKAGES = {"ward", "average", "complete", "single"}
_N_FOLDS = 3


class AgglomerativeHierarchy(BaseLikeness):
    """A tree in which the classes that are likest are joined first, into groups of any size.

    Classes are alike if the means of their features are near each other, or if a quick first model
    takes them for the same classes. What was joined last is parted first: each node is opened,
    the widest part of it before the others, until it has `branching` children.

    It compares all pairs of classes: use it for some thousand at most.

    Parameters
    ----------
    branching : int, optional
        Number of children of a node, at least 2; those near the leaves may have fewer. 2 is the
        dendrogram itself, which may be deep. None is the square root of the number of classes,
        rounded up.
    by : {"features", "confusion"}, default="features"
        What makes classes alike: the means of their features, or what a quick model says of
        samples that it was not trained on, on average over the samples of the class.
    linkage : {"ward", "average", "complete", "single"}, default="ward"
        How far groups are from each other: the method of ``scipy.cluster.hierarchy.linkage``.
        "single" may make a chain, whose tree is deep.
    features : transformer, optional
        What finds features in X, such as a ``TfidfVectorizer`` where X holds texts that an
        encoder reads. None: X holds the features.
    metric : {"auto", "cosine", "euclidean"}, default="auto"
        Whether the directions of the means are compared, or the means themselves. "auto" is
        "cosine" for a sparse X, else "euclidean": features should then be of one scale. It is
        of no concern to `by="confusion"`.
    estimator : classifier, optional
        The model of `by="confusion"`, with ``predict_proba``. None is a linear one.
    random_state : int, RandomState instance or None, default=None
        Determines which samples are held out of that model, and the model itself.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree. Its inner nodes are ``("group", number)``, numbered level by level.

    See Also
    --------
    KMeansHierarchy : Groups of the same size, for any number of classes.

    Notes
    -----
    By confusion, the point of a class holds the square roots of its mean probabilities, whose
    distances are those of Hellinger between distributions. [1]_ compares rows of the confusion
    matrix in the same way.

    References
    ----------
    .. [1] S. Godbole, "Exploiting Confusion Matrices for Automatic Generation of Topic Hierarchies
       and Scaling Up Multi-Way Classifiers", IIT Bombay, 2002.

    Examples
    --------
    >>> from hierclf.induction import AgglomerativeHierarchy
    >>> X = [[0.0], [5.0], [0.1], [9.0]]
    >>> print(AgglomerativeHierarchy(branching=2).fit(X, ["a", "b", "c", "d"]).hierarchy_)
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
        "by": [StrOptions({"features", "confusion"})],
        "linkage": [StrOptions(_LINKAGES)],
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        branching: int | None = None,
        *,
        by: Literal["features", "confusion"] = "features",
        linkage: Literal["ward", "average", "complete", "single"] = "ward",
        features: Any = None,
        metric: Literal["auto", "cosine", "euclidean"] = "auto",
        estimator: Any = None,
        random_state: Any = None,
    ) -> None:
        self.branching = branching
        self.by = by
        self.linkage = linkage
        self.features = features
        self.metric = metric
        self.estimator = estimator
        self.random_state = random_state

    def _induce(self, X: Any, classes: NDArray[Any], codes: NDArray[np.intp]) -> Hierarchy:
        n, branching = len(classes), self._width(len(classes))
        if n <= branching:
            return name_groups(classes, [n] * n + [-1])
        by_features = self.by == "features"
        points = self._centroids(X, codes) if by_features else self._profiles(X, codes)
        apart = _pair_distances(points) if sp.issparse(points) else points
        joins = linkage(apart, self.linkage)
        return name_groups(classes, _cut(joins, branching))

    def _profiles(self, X: Any, codes: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the roots of the mean probabilities of each class, by a model without them."""
        random_state = check_random_state(self.random_state)
        X = read_features(X, self.features, codes, type(self).__name__)
        model = self.estimator
        with catch_warnings():
            if model is None:
                model = quick_model(X, random_state)
                simplefilter("ignore", ConvergenceWarning)  # it is to stop early
            rows, proba = held_out_proba(model, X, codes, _N_FOLDS, random_state)
        n = int(codes.max()) + 1
        sums = sp.csr_array(
            (np.ones(len(rows)), (codes[rows], np.arange(len(rows)))), shape=(n, len(rows))
        )
        means = (sums @ proba) / np.maximum(sums.sum(axis=1), 1)[:, None]
        never = np.bincount(codes[rows], minlength=n) == 0
        means[never, never] = 1.0  # classes of one sample: like no other
        return np.asarray(np.sqrt(means))


def _pair_distances(points: Any) -> NDArray[np.float64]:
    """Return the distances of all pairs of sparse points, as scipy takes them."""
    products = (points @ points.T).toarray().astype(np.float64)
    norms = products.diagonal()
    a, b = np.triu_indices(len(norms), 1)
    squares = norms[a] + norms[b] - 2 * products[a, b]
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _cut(joins: NDArray[np.float64], branching: int) -> NDArray[np.intp]:
    """Open the nodes of a dendrogram until they have enough children.

    Parameters
    ----------
    joins : ndarray of shape (n_classes - 1, 4)
        What scipy's ``linkage`` returned. The last is the widest.
    branching : int
        Number of children.

    Returns
    -------
    ndarray of shape (n_classes + n_groups,)
        The parent of each class and then of each group.
    """
    n = len(joins) + 1
    parts = joins[:, :2].astype(np.intp).tolist()
    parents = np.empty(n, dtype=np.intp)
    of_groups = [-1]
    waiting = deque([(n, 2 * n - 2)])
    while waiting:
        parent, top = waiting.popleft()
        wide = [-top]  # a heap: later joins are wider
        done: list[int] = []
        while wide and len(wide) + len(done) < branching:
            for part in parts[-heappop(wide) - n]:
                if part < n:
                    done.append(part)
                else:
                    heappush(wide, -part)
        parents[done] = parent
        for group in sorted(-node for node in wide):
            waiting.append((n + len(of_groups), group))
            of_groups.append(parent)
    return np.concatenate([parents, of_groups])
