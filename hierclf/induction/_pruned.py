"""Repair of a tree: inner nodes that do not pay are taken out, as held-out samples say."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import column_or_1d

from hierclf._utils.base_estimator import BaseEstimator
from hierclf._utils.sklearn_private import HasMethods, Interval, fit_context, safe_indexing
from hierclf._utils.stratified import stratified_holdout
from hierclf.hierarchy import Hierarchy, as_hierarchy

if TYPE_CHECKING:
    from typing_extensions import Self

# By how many standard errors a tree must be better than none.
_N_ERRORS = 2
# Takes the nodes that are taken out, and returns which samples are then right.
_Trial = Callable[[frozenset[Any]], NDArray[np.bool_]]


class PrunedHierarchy(BaseEstimator):
    r"""A given hierarchy, less the inner nodes that do not pay.

    A taxonomy says what belongs together, and not what the features can tell apart. Where they
    cannot tell two parents apart, a softmax over all of their children does better. This inducer
    takes nodes out, whose children go to their parents, as long as a classifier then gets more
    held-out samples right. If the best tree is not clearly better than none, nothing is left of
    it: the hierarchy is flat, and a hierarchical softmax over it is a flat one.

    It tries no hierarchy at all, the given one, that one without each of its levels, and then the
    best so far without one node after another, those with the most classes first.

    Parameters
    ----------
    hierarchy : dict, iterable of edges, graph, Hierarchy or inducer
        The tree to repair. An inducer builds it from the samples that are not held out.
    estimator : classifier, optional
        What tells hierarchies apart: a classifier with a parameter ``hierarchy``. None is the
        classifier that this inducer is given to, which costs `max_fits` more fits; where it
        trains for long, as with an encoder, give one that is quick.
    max_fits : int, default=8
        How many hierarchies are tried at most.
    validation_fraction : float, default=0.2
        Share of the samples of each class that is held out, between 0 and 1. Classes of a single
        sample are trained on.
    random_state : int, RandomState instance or None, default=None
        Determines which samples are held out.

    Attributes
    ----------
    hierarchy_ : Hierarchy
        The tree that is left.
    scores_ : list of (nodes, accuracy)
        What was tried: the inner nodes taken out, in a tuple, and the share of the held-out
        samples that were then right. The first is no hierarchy at all.

    See Also
    --------
    Hierarchy.flatten : Takes nodes out that you name.

    Notes
    -----
    A tree is clearly better than none if it gets more held-out samples right, by more than two
    standard errors of that difference: :math:`a - b > 2 \sqrt{a + b}`, where a samples are right
    with the tree alone and b without it alone. One would be too few, since the tree is the best
    of several.

    Inner nodes that are labels in ``y`` stay. Given to a classifier, it keeps its hierarchy in
    ``hierarchy_``; the probabilities of the nodes of yours are
    ``yours.aggregate(clf.predict_proba(X), clf.classes_, level)``.

    References
    ----------
    .. [1] R. Babbar, I. Partalas, E. Gaussier and M.-R. Amini, "On Flat versus Hierarchical
       Classification in Large-Scale Taxonomies", NIPS 2013: which nodes to take out, by a bound.
    .. [2] A. Naik and H. Rangwala, "Filter based Taxonomy Modification for Improving Hierarchical
       Classification", arXiv:1603.00772: whole levels, and single nodes.

    Examples
    --------
    Colours do not tell fruit from vegetables, and the parents are of no use:

    >>> import numpy as np
    >>> from hierclf import HierarchicalSoftmaxClassifier
    >>> from hierclf.induction import PrunedHierarchy
    >>> hierarchy = {"fruit": ["cherry", "lime"], "vegetable": ["pea", "tomato"]}
    >>> hue = {"cherry": 0.0, "tomato": 0.3, "lime": 3.0, "pea": 3.3}
    >>> y = np.repeat(list(hue), 40)
    >>> X = np.random.default_rng(0).normal([[hue[c]] for c in y], 0.05)
    >>> clf = HierarchicalSoftmaxClassifier(
    ...     PrunedHierarchy(hierarchy, random_state=0),
    ...     hidden_layer_sizes=(),
    ...     learning_rate_init=0.1,
    ...     max_iter=40,
    ...     n_iter_no_change=40,
    ...     random_state=0,
    ... )
    >>> print(clf.fit(X, y).hierarchy_)
    Hierarchy.ROOT
    ├── cherry
    ├── lime
    ├── pea
    └── tomato
    """

    hierarchy_: Hierarchy
    scores_: list[tuple[tuple[Any, ...], float]]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hierarchy": "no_validation",
        "estimator": [HasMethods(["fit", "predict"]), None],
        "max_fits": [Interval(Integral, 2, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hierarchy: Any,
        estimator: Any = None,
        *,
        max_fits: int = 8,
        validation_fraction: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.hierarchy = hierarchy
        self.estimator = estimator
        self.max_fits = max_fits
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, classifier: Any = None) -> Self:
        """Find out which inner nodes pay.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.
        y : array-like of shape (n_samples,)
            Labels, each a node of the hierarchy.
        classifier : classifier, optional
            What tells hierarchies apart where ``estimator`` is None. A classifier passes itself.

        Returns
        -------
        object
            The fitted inducer.

        Raises
        ------
        ValueError
            If there is no estimator, a label is not in the hierarchy, or no sample can be held
            out.
        """
        judge = classifier if self.estimator is None else self.estimator
        if judge is None or "hierarchy" not in judge.get_params(deep=False):
            raise ValueError(
                f"PrunedHierarchy compares hierarchies by a classifier that has a parameter "
                f"hierarchy, and got estimator={judge!r}: give one, such as "
                "HierarchicalSoftmaxClassifier(), or give the inducer to one"
            )
        labels: NDArray[Any] = column_or_1d(y)
        X, labels = indexable(X, labels)
        _, codes = np.unique(labels, return_inverse=True)
        random_state = check_random_state(self.random_state)
        fraction = float(self.validation_fraction)
        train, held_out = stratified_holdout(codes.reshape(-1), fraction, random_state)
        X_train, y_train = safe_indexing(X, train), labels[train]
        given = self.hierarchy
        if hasattr(given, "fit"):
            given = clone(given).fit(X_train, y_train).hierarchy_
        given = as_hierarchy(given).prune(labels)
        removable = _removable(given, labels)
        self.scores_ = []
        if removable and not len(held_out):
            raise ValueError(
                "PrunedHierarchy holds out samples of classes that have at least two, and every "
                "class has one"
            )

        X_held_out, y_held_out = safe_indexing(X, held_out), labels[held_out]

        def try_without(nodes: frozenset[Any]) -> NDArray[np.bool_]:
            """Return which held-out samples are right without some nodes."""
            tree = given.flatten([node for node in removable if node in nodes])
            model = clone(judge).set_params(hierarchy=tree).fit(X_train, y_train)
            right = np.asarray(model.predict(X_held_out) == y_held_out)
            self.scores_.append((tuple(n for n in removable if n in nodes), float(right.mean())))
            return right

        chosen = self._search(given, removable, try_without) if removable else frozenset()
        self.hierarchy_ = given.flatten([node for node in removable if node in chosen])
        return self

    def _search(
        self, given: Hierarchy, removable: list[Any], try_without: _Trial
    ) -> frozenset[Any]:
        """Return the nodes to take out: the best found, or all if that is not clearly better."""
        everything, nothing = frozenset(removable), frozenset[Any]()
        flat, right = try_without(everything), try_without(nothing)
        best, tried = nothing, {everything, nothing}
        levels = (given.level(k) for k in range(given.n_levels - 1)) if given.is_tree else ()
        whole = [everything.intersection(level) for level in levels]
        n_leaves = dict(zip(given.nodes, given.leaf_counts.tolist(), strict=True))
        widest_first = sorted(removable, key=lambda node: -n_leaves[node])
        single = [frozenset([node]) for node in widest_first]
        for candidates, adds in ((whole, False), (single, True)):
            for candidate in candidates:
                nodes = candidate | best if adds else candidate
                if nodes in tried or len(tried) >= self.max_fits:
                    continue
                tried.add(nodes)
                found = try_without(nodes)
                if found.sum() > right.sum():
                    best, right = nodes, found
        gained, lost = int((right & ~flat).sum()), int((flat & ~right).sum())
        return best if gained - lost > _N_ERRORS * np.sqrt(gained + lost) else everything


def _removable(hierarchy: Hierarchy, y: NDArray[Any]) -> list[Any]:
    """Return the inner nodes that are no labels, in node order."""
    inner = np.setdiff1d(np.arange(len(hierarchy)), hierarchy.leaf_indices)
    inner = np.setdiff1d(inner, hierarchy.node_indices(y))
    return [hierarchy.nodes[i] for i in inner.tolist()]
