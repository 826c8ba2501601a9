"""The most specific answers that are still right as often as was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.blocks import row_blocks
from hierclf._utils.folds import Fold, class_proba
from hierclf._utils.held_out import BaseHeldOutClassifier
from hierclf._utils.naming import check_reject_label
from hierclf._utils.sklearn_private import Interval
from hierclf.decisions._base import choose_nodes
from hierclf.decisions._information_gain import Candidates, InformationGain
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import shorten

# Beside this trade-off the rewards, 0 to 1, do not count: the likeliest node is chosen.
_LARGEST = 1e6
# Halvings of the interval that the trade-off is sought in.
_N_HALVINGS = 40


class InformationGainClassifier(BaseHeldOutClassifier):
    r"""A classifier that is as specific as it can be while right as often as asked for.

    An answer is right if it is the true class or an ancestor of it. ``fit`` looks, on samples
    that the estimator was not trained on, for the smallest trade-off of
    :class:`InformationGain` at which a binomial confidence bound on that accuracy reaches
    ``accuracy``.

    Parameters
    ----------
    estimator : estimator
        A classifier with ``predict_proba``.
    accuracy : float, default=0.95
        How often predictions are to be right, between 0 and 1.
    reject_label : object, optional
        What to predict where not even a node of the top level is sure enough, such as
        "unknown": something that is no node. It counts as right, as the root would, and
        says nothing. With it every accuracy can be reached, given enough held-out samples.
        None: there is always an answer.
    hierarchy : Hierarchy, dict, edges or graph, optional
        A tree or DAG that has all labels. None is that of the fitted estimator: its
        ``hierarchy_``, or that of the last step of a pipeline or the best of a search.
    confidence : float, default=0.95
        The level of the one-sided Clopper-Pearson bound, between 0 and 1.
    cv : int, float, splitter, iterable or "prefit", optional
        Which samples are held out: a number of stratified folds (None is 5), the share of a
        single stratified split, a splitter, an iterable of splits, or "prefit" for an estimator
        that is already fitted on other samples than those given to ``fit``.
    refit : bool, default=True
        Train the final estimator on all rows. If False, that of the single split is kept.
        Not used if ``cv="prefit"``.
    random_state : int, RandomState instance or None, default=None
        Determines the split. Only used if ``cv`` is a float.
    n_jobs : int, optional
        How many folds to train at a time; None is 1, -1 one for each processor.

    Attributes
    ----------
    trade_off_ : float
        The trade-off found.
    accuracy_ : float
        The share of right predictions among the held-out samples, by weight.
    information_gain_ : float
        The mean reward of those predictions, 0 for a wrong one: 1 if the class of every
        sample is predicted.
    decision_ : InformationGain
        The decision with that trade-off.
    estimator_ : estimator
        The fitted estimator.
    hierarchy_ : Hierarchy
        The hierarchy.
    classes_ : ndarray of shape (n_classes,)
        The classes of the estimator.
    n_features_in_ : int
        Number of features seen in fit, if the estimator has it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if the estimator has them.

    See Also
    --------
    InformationGain : The decision by itself, for any probabilities.
    sklearn.model_selection.TunedThresholdClassifierCV : Tunes a threshold of two classes.

    Notes
    -----
    The accuracy is promised for samples like the held-out ones, so calibrated probabilities
    are not needed; they make the answers more specific. As the root is not an answer, an
    accuracy may be out of reach without a ``reject_label``: where even the top level is
    predicted wrong too often, or where the held-out samples are too few for the bound. Then
    there is a warning, and the trade-off is the upper end of the interval that the paper
    searches, at which the accuracy would be reached if the probabilities were calibrated
    and the root an answer.

    The accuracy need not grow with the trade-off everywhere. The search halves an interval
    whose upper end reached the accuracy, and returns such an end: the interval of the
    paper, or what lies beyond it, since no root competes.

    With sample weights :math:`w_i` the accuracy is that of samples which are met as often as
    they weigh, and only the ratios of the weights count. The bound is then an
    approximation: it is that of the effective number of samples [2]_,
    :math:`(\sum_i w_i)^2 / \sum_i w_i^2`, so that unequal weights ask for more samples. It
    suits weights that say nothing of whether a sample is predicted right, and many samples,
    none of which holds much of all weight. A sample of weight 2 is not two samples, which
    would be two observations: it counts twice in the accuracy, and not in its certainty.

    ``score`` is the share of predictions that equal the label; for metrics that give credit
    to an ancestor, and take a ``reject_label``, see
    :func:`hierclf.metrics.any_depth_accuracy_score` and
    :func:`hierclf.metrics.information_gain_score`.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.
    .. [2] L. Kish, "Survey Sampling", Wiley 1965.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> from hierclf.decisions import InformationGainClassifier
    >>> digits = load_digits_hierarchy()
    >>> X, y = digits.data[:, :32] / 16, digits.target  # the upper half of each image
    >>> clf = InformationGainClassifier(
    ...     LogisticRegression(), accuracy=0.84, hierarchy=digits.hierarchy
    ... )
    >>> clf.fit(X, y).predict(X[[0, 3]]).tolist()
    ['0', 'open curve']
    >>> bool(clf.accuracy_ >= 0.84)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHeldOutClassifier._parameter_constraints,
        "reject_label": "no_validation",
        "accuracy": [Interval(Real, 0, 1, closed="neither")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        estimator: Any,
        accuracy: float = 0.95,
        *,
        reject_label: Any = None,
        hierarchy: Any = None,
        confidence: float = 0.95,
        cv: Any = None,
        refit: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.accuracy = accuracy
        self.reject_label = reject_label
        self.hierarchy = hierarchy
        self.confidence = confidence
        self.cv = cv
        self.refit = refit
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _learn(
        self,
        folds: Sequence[Fold],
        labels: NDArray[np.intp],
        classes: NDArray[Any],
        hierarchy: Hierarchy,
    ) -> None:
        check_reject_label(self.reject_label, hierarchy)
        candidates = Candidates.of(hierarchy.node_indices(classes), hierarchy)
        held_out = _masses(folds, candidates, hierarchy)
        truth = labels[np.concatenate([fold.rows for fold in folds])]
        weight = np.concatenate([fold.weight for fold in folds])
        may_reject = self.reject_label is not None

        def judge(trade_off: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            answers = [candidates.choose(block, trade_off, may_reject) for block in held_out]
            nodes, rewards = (np.concatenate(parts) for parts in zip(*answers, strict=True))
            return rewards, hierarchy.are_at_or_above(nodes, truth)

        def reaches(trade_off: float) -> bool:
            _, right = judge(trade_off)
            return weighted_bound(right, weight, self.confidence) >= self.accuracy

        least = 0.0 if may_reject else candidates.rewards.min()
        sufficient = _sufficient_trade_off(least, candidates.rewards.max(), self.accuracy)
        steps = [0.0, sufficient, _LARGEST]
        enough = next((i for i, step in enumerate(steps) if reaches(step)), None)
        if enough is None:
            # The largest would give up all that the answers say, and still not reach it.
            trade_off = sufficient
            self._warn(trade_off, judge(trade_off)[1], weight, hierarchy)
        else:
            trade_off = _bisect(reaches, steps[max(enough - 1, 0)], steps[enough])
        reward, right = judge(trade_off)
        self.trade_off_ = trade_off
        self.accuracy_ = float(np.average(right, weights=weight))
        self.information_gain_ = float(np.average(reward * right, weights=weight))
        self.decision_ = InformationGain(trade_off, self.reject_label)

    def _warn(
        self,
        trade_off: float,
        right: NDArray[np.bool_],
        weight: NDArray[np.float64],
        hierarchy: Hierarchy,
    ) -> None:
        top = [node for node, depth in zip(hierarchy, hierarchy.depths, strict=True) if depth == 1]
        share = np.average(right, weights=weight)
        bound = weighted_bound(right, weight, self.confidence)
        warn(
            f"accuracy={self.accuracy} is out of reach. With trade_off_={trade_off:.3g} "
            f"{right.sum()} of {len(right)} held-out predictions are right, {share:.3f}"
            f"{' by weight' if np.ptp(weight) else ''}; at confidence {self.confidence} that is "
            f"{bound:.3f} or more. No answer is coarser than the top level: {shorten(top)}. Ask "
            "for less, hold out more rows, improve the estimator, or give a reject_label.",
            UserWarning,
            stacklevel=5,
        )

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict a class or a node above it.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_levels)
            Nodes of ``hierarchy_`` or ``reject_label``; in the dtype of ``classes_``
            where all of them are classes. Where y was paths, paths; then ``reject_label`` is
            the only label of its row.
        """
        check_is_fitted(self)
        proba = class_proba(self.estimator_, X)
        _, _, nodes = choose_nodes(self.decision_, proba, self._classes, self.hierarchy_)
        return self._name(nodes, self.decision_.reject_label)


def _sufficient_trade_off(least: float, most: float, accuracy: float) -> float:
    """Return the trade-off that would do if the node of least reward had probability 1.

    Beside it no node less likely than `accuracy` would be chosen. In the paper it is the root.
    """
    return min(max(0.0, float((accuracy * most - least) / (1 - accuracy))), _LARGEST)


def _bisect(reaches: Callable[[float], bool], low: float, high: float) -> float:
    """Return a trade-off that reaches the accuracy, close above one that does not."""
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        if reaches(middle):
            high = middle
        else:
            low = middle
    return high


def _masses(
    folds: Sequence[Fold], candidates: Candidates, hierarchy: Hierarchy
) -> list[NDArray[np.float64]]:
    """Return the probabilities of the candidates, of shape (n_candidates, n_some) for some rows."""
    place = np.full(len(hierarchy), -1)
    place[candidates.nodes] = np.arange(len(candidates.nodes))
    masses = []
    for fold in folds:
        seen = Candidates.of(hierarchy.node_indices(fold.classes), hierarchy)
        for block in row_blocks(len(fold.rows), len(place)):
            found = np.zeros((len(candidates.nodes), block.stop - block.start))
            found[place[seen.nodes]] = seen.sums @ fold.proba[block].T
            masses.append(found)
    return masses


def weighted_bound(
    right: NDArray[np.bool_], weight: NDArray[np.float64], confidence: float
) -> float:
    """Return the lower bound of how often answers are right, given some of them.

    Parameters
    ----------
    right : ndarray of shape (n,), dtype bool
        Which answers are right.
    weight : ndarray of shape (n,)
        How much each counts. Where all weigh the same, the bound is that of their number.
    confidence : float
        As for :func:`lower_bound`.

    Returns
    -------
    float
        That of as many equal answers as have an average of the same variance.

    Examples
    --------
    >>> import numpy as np
    >>> from hierclf.decisions._information_gain_classifier import lower_bound, weighted_bound
    >>> right, weight = np.array([True, True, True, False]), np.array([1.0, 0.5, 0.5, 0.0])
    >>> weighted_bound(right, weight, 0.75) == lower_bound(2.0**2 / 1.5, 2.0**2 / 1.5, 0.75)
    True
    """
    total = weight.sum()
    shrink = total / np.square(weight).sum()  # makes equal weights 1
    return lower_bound(float(weight[right].sum() * shrink), float(total * shrink), confidence)


def lower_bound(n_right: float, n: float, confidence: float) -> float:
    """Return the lower end of a one-sided Clopper-Pearson interval.

    Parameters
    ----------
    n_right, n : float
        So many successes in so many trials; fractions where trials are weighted.
    confidence : float
        The probability that the bound is below the true rate, at least.

    Returns
    -------
    float
        0 if there is no success.

    Examples
    --------
    If all succeed, the rate whose power n is the probability of failing:

    >>> from hierclf.decisions._information_gain_classifier import lower_bound
    >>> round(lower_bound(2, 2, 0.75), 9)
    0.5
    """
    return float(beta.ppf(1 - confidence, n_right, n - n_right + 1)) if n_right else 0.0
