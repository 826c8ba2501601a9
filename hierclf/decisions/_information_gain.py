"""The most specific answer that is still right as often as was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, ClassVar, NamedTuple
from warnings import warn

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from hierclf._compat import Interval
from hierclf._held_out import BaseHeldOutClassifier, Fold
from hierclf.decisions._base import BaseDecision, Rule
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._nodes import shorten

# Beside this trade-off the rewards, 0 to 1, do not count: the likeliest node is chosen.
_LARGEST = 1e6
# Halvings of the interval that the trade-off is sought in.
_N_HALVINGS = 40


class InformationGain(BaseDecision):
    r"""Names the node with the highest expected information, plus a bonus for being right.

    It chooses

    .. math:: \arg\max_v \; (r_v + \lambda) \, p_v, \qquad
              r_v = 1 - \frac{\log_2 L_v}{\log_2 L},

    where :math:`p_v` is the probability of all classes at or below :math:`v`, :math:`L_v`
    how many they are, :math:`L` the number of all classes, and :math:`\lambda` the
    trade-off. The reward :math:`r_v` is the share of the information in a class that a
    right answer :math:`v` gives: 1 for a class that has no other below it. Of equally good
    nodes the deepest is chosen, then the first. The root is never an answer.

    Parameters
    ----------
    trade_off : float, default=0.0
        The higher it is, the coarser and the more often right are the answers. 0 has the
        highest expected reward.

    See Also
    --------
    InformationGainClassifier : Finds the trade-off for an accuracy.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

    Examples
    --------
    With four classes the reward of "animal" is 1 - log2(2) / log2(4) = 0.5, so that "cat"
    wins by 0.45 to 0.5 * 0.8, and loses by 2 * 0.45 to 1.5 * 0.8.

    >>> from hierclf.decisions import InformationGain
    >>> tree = {"life": ["animal", "plant"], "animal": ["cat", "dog"], "plant": ["elm", "oak"]}
    >>> proba, classes = [[0.45, 0.35, 0.1, 0.1]], ["cat", "dog", "elm", "oak"]
    >>> InformationGain().decide(proba, classes, tree)
    array(['cat'], dtype='<U3')
    >>> InformationGain(trade_off=1.0).decide(proba, classes, tree)
    array(['animal'], dtype='<U6')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "trade_off": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, trade_off: float = 0.0) -> None:
        self.trade_off = trade_off

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
        level : None
            There is no choice of a level.

        Returns
        -------
        callable
            Takes probabilities, an ndarray of shape (n, n_classes), and returns the
            positions in ``hierarchy.nodes`` of the nodes chosen, of shape (n,).

        Raises
        ------
        ValueError
            If a level is given: the decision chooses it.
        """
        if level is not None:
            raise ValueError(
                f"InformationGain chooses how specific each answer is and cannot promise a node "
                f"of level {level!r}: use level=None"
            )
        candidates = _find_candidates(classes, hierarchy)
        below = _at_or_above(classes, hierarchy)[:, candidates.nodes]

        def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
            chosen = _choose(proba @ below, candidates, self.trade_off)
            return candidates.nodes[chosen]

        return rule


class InformationGainClassifier(BaseHeldOutClassifier):
    """A classifier that is as specific as it can be while right as often as asked for.

    An answer is right if it is the true class or an ancestor of it. On rows that the
    estimator was not trained on, the smallest trade-off of :class:`InformationGain` is
    sought at which a binomial confidence bound on that accuracy reaches ``accuracy``.

    Parameters
    ----------
    estimator : estimator
        A classifier with ``predict_proba``.
    accuracy : float, default=0.95
        How often predictions shall be right, between 0 and 1.
    hierarchy : Hierarchy, dict, edges or graph, optional
        A tree or DAG that has all labels. None is that of the fitted estimator: its
        ``hierarchy_``, or that of the last step of a pipeline or the best of a search.
    confidence : float, default=0.95
        The level of the one-sided Clopper-Pearson bound, between 0 and 1.
    cv : int, float, splitter, iterable or "prefit", optional
        Where held-out rows come from: a number of stratified folds (None is 5), the share
        of a single stratified split, anything else that gives splits, or "prefit" for an
        estimator that is fitted already on rows other than those given to ``fit``.
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
        The share of right predictions at that trade-off among the held-out rows.
    information_gain_ : float
        The mean reward of those predictions, wrong ones counted as 0: 1 if every row got
        its class right.
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
    The accuracy is promised for rows like the held-out ones, so calibrated probabilities
    are not needed; they make the answers more specific. As the root is not an answer, an
    accuracy may be out of reach: where even the top level is guessed wrong too often, or
    where the held-out rows are too few for the bound. Then there is a warning, and the
    trade-off is the upper end of the interval that the paper searches, at which the
    accuracy would be reached if the probabilities were calibrated and the root an answer.

    The accuracy need not grow with the trade-off everywhere. The search halves an interval
    whose upper end reached the accuracy, and returns such an end: the interval of the
    paper, or what lies beyond it, since no root competes.

    ``score`` is the share of predictions that equal the label; see :mod:`hierclf.metrics`
    for scores that give credit to an ancestor.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

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
        "accuracy": [Interval(Real, 0, 1, closed="neither")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        estimator: Any,
        accuracy: float = 0.95,
        *,
        hierarchy: Any = None,
        confidence: float = 0.95,
        cv: Any = None,
        refit: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.accuracy = accuracy
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
        candidates = _find_candidates(hierarchy.node_indices(classes), hierarchy)
        sums = []
        for fold in folds:
            below = _at_or_above(hierarchy.node_indices(fold.classes), hierarchy)
            sums.append(fold.proba @ below[:, candidates.nodes])
        held_out = np.concatenate(sums)
        truth = labels[np.concatenate([fold.rows for fold in folds])]
        right_rows, right_nodes = hierarchy.ancestor_pairs(truth)
        right_cells = right_rows * len(hierarchy) + right_nodes

        def judge(trade_off: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            chosen = _choose(held_out, candidates, trade_off)
            cells = np.arange(len(chosen)) * len(hierarchy) + candidates.nodes[chosen]
            return candidates.rewards[chosen], np.isin(cells, right_cells)

        def reaches(trade_off: float) -> bool:
            _, right = judge(trade_off)
            bound = lower_bound(int(right.sum()), len(right), self.confidence)
            return bound >= self.accuracy

        sufficient = _sufficient_trade_off(candidates, self.accuracy)
        steps = [0.0, sufficient, _LARGEST]
        enough = next((i for i, step in enumerate(steps) if reaches(step)), None)
        if enough is None:
            # The largest would give up all that the answers say, and still not reach it.
            trade_off = sufficient
            self._warn(trade_off, judge(trade_off)[1], hierarchy)
        else:
            trade_off = _bisect(reaches, steps[max(enough - 1, 0)], steps[enough])
        reward, right = judge(trade_off)
        self.trade_off_ = trade_off
        self.accuracy_ = float(right.mean())
        self.information_gain_ = float((reward * right).mean())
        self.decision_ = InformationGain(trade_off)

    def _warn(self, trade_off: float, right: NDArray[np.bool_], hierarchy: Hierarchy) -> None:
        n_right, n = int(right.sum()), len(right)
        top = [node for node, depth in zip(hierarchy, hierarchy.depths, strict=True) if depth == 1]
        warn(
            f"accuracy={self.accuracy} is out of reach. With trade_off_={trade_off:.3g} {n_right} "
            f"of {n} held-out predictions are right, {n_right / n:.3f}; at confidence "
            f"{self.confidence} that is {lower_bound(n_right, n, self.confidence):.3f} or more. "
            f"No answer is coarser than the top level: {shorten(top)}. Ask for less, hold out "
            "more rows, or improve the estimator.",
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
        ndarray of shape (n_samples,)
            Nodes of ``hierarchy_``; in the dtype of ``classes_`` where all of them are
            classes.
        """
        check_is_fitted(self)
        return self.decision_.decide(self.predict_proba(X), self.classes_, self.hierarchy_)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of the classes, as the estimator has them.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        proba: NDArray[Any] = self.estimator_.predict_proba(X)
        return proba

    @available_if(  # type: ignore[untyped-decorator]
        lambda self: hasattr(getattr(self, "estimator_", self.estimator), "predict_log_proba")
    )
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the log-probabilities of the classes, as the estimator has them.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        log_proba: NDArray[Any] = self.estimator_.predict_log_proba(X)
        return log_proba


class _Candidates(NamedTuple):
    """The nodes that may be an answer, as positions, deepest first; and their rewards."""

    nodes: NDArray[np.intp]
    rewards: NDArray[np.float64]


def _at_or_above(positions: NDArray[np.intp], hierarchy: Hierarchy) -> Any:
    """Return 1 for each of some nodes (rows) and each node at or above it (columns), sparse."""
    rows, columns = hierarchy.ancestor_pairs(positions)
    ones, shape = np.ones(len(rows)), (len(positions), len(hierarchy))
    return sp.csr_array((ones, (rows, columns)), shape=shape)


def _find_candidates(classes: NDArray[np.intp], hierarchy: Hierarchy) -> _Candidates:
    counts = np.bincount(hierarchy.ancestor_pairs(classes)[1], minlength=len(hierarchy))
    nodes = np.flatnonzero(counts)
    # The first maximum is taken: of equals the deepest.
    nodes = nodes[np.argsort(-hierarchy.depths[nodes], kind="stable")]
    # Of a single class there is nothing to learn: it is no less informative than itself.
    bits = np.log2(max(len(classes), 2))
    return _Candidates(nodes, 1 - np.log2(counts[nodes]) / bits)


def _choose(
    sums: NDArray[np.float64], candidates: _Candidates, trade_off: float
) -> NDArray[np.intp]:
    """Return which candidate is best in each row of their probabilities."""
    chosen: NDArray[np.intp] = np.argmax(sums * (candidates.rewards + trade_off), axis=1)
    return chosen


def _sufficient_trade_off(candidates: _Candidates, accuracy: float) -> float:
    """Return the trade-off that would do if the node of least reward had probability 1.

    Beside it no node less likely than `accuracy` would be chosen. In the paper it is the root.
    """
    least, most = candidates.rewards.min(), candidates.rewards.max()
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


def lower_bound(n_right: int, n: int, confidence: float) -> float:
    """Return the lower end of a one-sided Clopper-Pearson interval.

    Parameters
    ----------
    n_right, n : int
        So many successes in so many trials.
    confidence : float
        The probability that the bound is below the true rate, at least.

    Returns
    -------
    float
        0 if there is no success.

    Examples
    --------
    If all succeed, the rate whose power n is the probability of failing:

    >>> from hierclf.decisions._information_gain import lower_bound
    >>> round(lower_bound(2, 2, 0.75), 9)
    0.5
    """
    return float(beta.ppf(1 - confidence, n_right, n - n_right + 1)) if n_right else 0.0
