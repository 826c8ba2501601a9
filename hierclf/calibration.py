"""Probabilities that mean what they say: calibration that knows the hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.utils.validation import check_is_fitted

from hierclf._utils.blocks import by_blocks, row_blocks
from hierclf._utils.folds import Fold, class_proba
from hierclf._utils.held_out import BaseHeldOutClassifier
from hierclf._utils.sklearn_private import StrOptions
from hierclf.decisions._base import by_depth, covering
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._arrays import gather

__all__ = ["TemperatureScalingClassifier"]

# Where all of a few rows were right, the likeliest temperature is 0; where none, infinite.
_LOWEST, _HIGHEST = 0.05, 20.0


class TemperatureScalingClassifier(BaseHeldOutClassifier):
    r"""Calibrates every softmax of a tree by a temperature.

    The probability of each child given its parent becomes

    .. math:: \frac{P(c \mid p)^{1 / T}}{\sum_j P(c_j \mid p)^{1 / T}}

    and the probability of a class the product over its path. So a parent is still the sum
    of its children, and a level can be confident while another is not. Above 1 a
    temperature makes the estimator less confident, below 1 more.

    The temperatures minimise the negative log-likelihood of the true paths of samples that
    the estimator was not trained on, weighted where there are sample weights.

    Parameters
    ----------
    estimator : estimator
        A classifier with ``predict_proba``, flat or hierarchical: what it says of the
        classes is added up for the nodes above.
    by : {"level", "group", "all"}, default="level"
        Which softmaxes share a temperature: those of a level, or all. With "group" each has
        its own, which takes many held-out samples below every node.
    hierarchy : Hierarchy, dict, edges or graph, optional
        A tree that has all labels. None is that of the fitted estimator: its
        ``hierarchy_``, or that of the last step of a pipeline or the best of a search.
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
    temperatures_ : ndarray of shape (n_inner,), float64
        The temperature of the children of each inner node, in the order of
        ``hierarchy_.arrays.inner_indices``: the root first.
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
    sklearn.calibration.CalibratedClassifierCV : Calibration that knows of no hierarchy.

    Notes
    -----
    Temperatures stay between 0.05 and 20. Where no held-out sample has a true path through a
    softmax, its temperature is that of its level, or else 1. A probability of 0 among siblings
    counts as 2e-16, as in scikit-learn, so that a temperature can repair an estimator that is
    certain and wrong.

    The likeliest class may be another than that of the estimator.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.

    Examples
    --------
    Naive Bayes counts the pixels of a stroke as so many proofs. Its top level is too
    confident, and so is the level below.

    >>> from sklearn.naive_bayes import BernoulliNB
    >>> from hierclf.calibration import TemperatureScalingClassifier
    >>> from hierclf.datasets import load_digits_hierarchy
    >>> digits = load_digits_hierarchy()
    >>> clf = TemperatureScalingClassifier(BernoulliNB(binarize=8), hierarchy=digits.hierarchy)
    >>> clf.fit(digits.data, digits.target).temperatures_.round(1)
    array([2.5, 2.2, 2.2, 2.2])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseHeldOutClassifier._parameter_constraints,
        "by": [StrOptions({"level", "group", "all"})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        by: Literal["level", "group", "all"] = "level",
        hierarchy: Any = None,
        cv: Any = None,
        refit: bool = True,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.by = by
        self.hierarchy = hierarchy
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
        _Softmaxes(classes, hierarchy)  # refuses what cannot be calibrated
        parts = []
        for fold in folds:
            softmaxes = _Softmaxes(fold.classes, hierarchy)
            for block in row_blocks(len(fold.rows), len(softmaxes.nodes)):
                truth = labels[fold.rows[block]]
                parts.append(softmaxes.steps(fold.proba[block], truth, fold.weight[block]))
        steps = _Steps(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        levels = np.append(hierarchy.depths, 0)[
            hierarchy.arrays.inner_indices
        ]  # the last is the root's
        units = {
            "all": np.zeros(len(levels), dtype=np.intp),
            "level": levels,
            "group": np.arange(len(levels)),
        }
        temperatures = np.ones(len(levels))
        for by in {"all": ["all"], "level": ["level"], "group": ["level", "group"]}[self.by]:
            for unit, temperature in _fit_temperatures(units[by][steps.groups], steps):
                temperatures[units[by] == unit] = temperature
        self.temperatures_ = temperatures

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Compute the calibrated log-probability of every class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Natural logarithms, in the float dtype of the estimator; columns in the order of
            ``classes_``.
        """
        check_is_fitted(self)
        softmaxes = _Softmaxes(self._classes, self.hierarchy_)
        proba = class_proba(self.estimator_, X)

        def calibrate(block: NDArray[Any]) -> NDArray[Any]:
            return softmaxes.log_proba(block, self.temperatures_).astype(proba.dtype)

        return by_blocks(calibrate, proba)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Compute the calibrated probability of every class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Each row sums to 1; columns in the order of ``classes_``.
            :meth:`hierclf.Hierarchy.aggregate` adds them up for the nodes above.
        """
        log_proba = self.predict_log_proba(X)
        proba: NDArray[Any] = np.exp(log_proba, out=log_proba)
        return proba

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the likeliest class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_levels)
            Labels; where y was paths, the paths to them.
        """
        check_is_fitted(self)
        positions = self.hierarchy_.node_indices(self._classes)
        return self._name(positions[self.predict_log_proba(X).argmax(axis=1)])


class _Steps(NamedTuple):
    """Steps down the true paths of some rows: each true node beside its siblings.

    Attributes
    ----------
    groups : ndarray of shape (n_steps,), dtype intp
        The softmax of each step, counted as the inner nodes are.
    weights : ndarray of shape (n_steps,), dtype float64
        How much each step counts.
    sizes : ndarray of shape (n_steps,), dtype intp
        The number of siblings, the true one among them.
    gaps : ndarray of shape (sum of sizes,)
        How much higher than the true one's is the log-probability of each sibling.
    """

    groups: NDArray[np.intp]
    weights: NDArray[np.float64]
    sizes: NDArray[np.intp]
    gaps: NDArray[np.float64]


class _Softmaxes:
    """The softmaxes of a tree over the nodes that have a class at or below them.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels, none above another.
    hierarchy : Hierarchy
        A tree.
    """

    def __init__(self, classes: NDArray[Any], hierarchy: Hierarchy) -> None:
        if not hierarchy.is_tree:
            parents = np.bincount(hierarchy.arrays.edge_children)
            node = hierarchy.nodes[int(parents.argmax())]
            raise ValueError(
                f"temperature scaling needs a tree: {node!r} has the parents "
                f"{hierarchy.parents(node)!r}"
            )
        positions = hierarchy.node_indices(classes)
        rows, above = hierarchy.ancestor_pairs(positions)
        overlaps = np.flatnonzero(np.isin(above, positions) & (above != positions[rows]))
        if len(overlaps):
            first = overlaps[0]
            raise ValueError(
                f"the class {hierarchy.nodes[above[first]]!r} is above the class "
                f"{hierarchy.nodes[positions[rows[first]]]!r}: the classes of the estimator "
                "must be leaves"
            )
        self.hierarchy = hierarchy
        self.nodes, self.sums = covering(positions, hierarchy)
        self.columns = np.searchsorted(self.nodes, positions)
        parents = hierarchy.arrays.edge_parents[self.nodes]
        self.parents = np.searchsorted(self.nodes, parents)  # of no meaning on the top level
        self.below_top = by_depth(self.nodes, hierarchy)[1:]
        self.starts = np.flatnonzero(np.diff(parents, prepend=-2))
        self.sizes = np.diff(self.starts, append=len(self.nodes))
        # Which inner node each softmax belongs to.
        self.groups = np.searchsorted(hierarchy.arrays.inner_indices, parents[self.starts])

    def log_proba(
        self, proba: NDArray[Any], temperatures: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the log-probability of each class at some temperatures.

        Parameters
        ----------
        proba : ndarray of shape (n, n_classes)
            Probabilities of the classes.
        temperatures : ndarray of shape (n_inner,)
            One for each inner node of the hierarchy.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        logs = _log_shares(self.sums @ proba.T, self.sizes)
        logs /= np.repeat(temperatures[self.groups], self.sizes)[:, None]
        highest = np.repeat(np.maximum.reduceat(logs, self.starts), self.sizes, axis=0)
        logs -= highest
        totals = np.add.reduceat(np.exp(logs, out=highest), self.starts)
        logs -= np.repeat(np.log(totals), self.sizes, axis=0)
        for depth in self.below_top:
            logs[depth] += logs[self.parents[depth]]
        return logs[self.columns].T

    def steps(
        self, proba: NDArray[Any], labels: NDArray[np.intp], weight: NDArray[np.float64]
    ) -> _Steps:
        """Compare each true node with its siblings, on the path of each row.

        Parameters
        ----------
        proba : ndarray of shape (n, n_classes)
            Probabilities of the classes.
        labels : ndarray of shape (n,), dtype intp
            Positions of the true nodes. A path counts as far as there are classes below.
        weight : ndarray of shape (n,)
            Weights of the rows.

        Returns
        -------
        _Steps
            Those to an only child are left out.
        """
        rows, truth = self.hierarchy.ancestor_pairs(labels)
        known = np.isin(truth, self.nodes)
        rows, places = rows[known], np.searchsorted(self.nodes, truth[known])
        softmaxes = np.searchsorted(self.starts, places, side="right") - 1
        chosen = self.sizes[softmaxes] > 1
        rows, places, softmaxes = rows[chosen], places[chosen], softmaxes[chosen]
        offsets = np.append(self.starts, len(self.nodes))
        siblings, sizes = gather(offsets, np.arange(len(self.nodes)), softmaxes)
        masses = self.sums @ proba.T
        logs = _log_shares(masses[siblings, np.repeat(rows, sizes)], sizes)
        true = np.cumsum(sizes) - sizes + places - self.starts[softmaxes]
        gaps = logs - np.repeat(logs[true], sizes)
        return _Steps(self.groups[softmaxes], weight[rows], sizes, gaps)


def _log_shares(masses: NDArray[np.float64], sizes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the logarithm of the share of each node in its softmax.

    Parameters
    ----------
    masses : ndarray of shape (n_nodes, ...)
        Probabilities.
    sizes : ndarray of shape (n_softmaxes,), dtype intp
        How many nodes, one after another, each softmax has.

    Returns
    -------
    ndarray of the shape of masses
        Equal in a softmax without any probability.
    """
    totals = np.add.reduceat(masses, np.cumsum(sizes) - sizes)
    equal = np.broadcast_to(np.repeat(1 / sizes, sizes), masses.T.shape).T
    totals = np.repeat(totals, sizes, axis=0)
    shares = np.divide(masses, totals, out=equal.copy(order="C"), where=totals > 0)
    np.maximum(shares, np.finfo(np.float64).eps, out=shares)
    logs: NDArray[np.float64] = np.log(shares, out=shares)
    return logs


def _fit_temperatures(units: NDArray[np.intp], steps: _Steps) -> list[tuple[int, float]]:
    """Return each unit that has steps, and its temperature.

    Parameters
    ----------
    units : ndarray of shape (n_steps,), dtype intp
        What shares a temperature.
    steps : _Steps
        The steps.

    Returns
    -------
    list of (int, float)
    """
    order = np.argsort(units, kind="stable")
    ends = np.append(0, np.cumsum(steps.sizes))
    cells, sizes = gather(ends, np.arange(len(steps.gaps)), order)
    ends = np.append(0, np.cumsum(sizes))
    weights = steps.weights[order]
    found, first = np.unique(units[order], return_index=True)
    bounds = pairwise([*first.tolist(), len(units)])
    temperatures = []
    for unit, (start, stop) in zip(found.tolist(), bounds, strict=True):
        gaps = steps.gaps[cells[ends[start] : ends[stop]]]
        best = _best_temperature(gaps, sizes[start:stop], weights[start:stop])
        temperatures.append((unit, best))
    return temperatures


def _best_temperature(
    gaps: NDArray[np.float64], sizes: NDArray[np.intp], weights: NDArray[np.float64]
) -> float:
    """Return the temperature at which the true siblings are likeliest.

    Minus their log-likelihood is convex in the inverse temperature, and its derivative is what
    the gaps are on average: the derivative is 0 in one place, or grows towards an end.
    """
    if not gaps.any():  # all siblings are always equal, whatever the temperature
        return 1.0
    starts = np.cumsum(sizes) - sizes

    def slope(inverse: float) -> float:
        values = gaps * inverse
        values -= np.repeat(np.maximum.reduceat(values, starts), sizes)
        shares = np.exp(values, out=values)
        means = np.add.reduceat(shares * gaps, starts) / np.add.reduceat(shares, starts)
        return float(weights @ means)

    if slope(1 / _HIGHEST) >= 0:
        return _HIGHEST
    if slope(1 / _LOWEST) <= 0:
        return _LOWEST
    return float(1 / brentq(slope, 1 / _HIGHEST, 1 / _LOWEST))
