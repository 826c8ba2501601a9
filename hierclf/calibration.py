"""Probabilities that mean what they say: calibration that knows the hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.utils.validation import check_is_fitted

from hierclf._compat import StrOptions
from hierclf._held_out import BaseHeldOutClassifier, Fold, finite_proba
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._graph import gather

# Where all of a few rows were right, the likeliest temperature is 0; where none, infinite.
_LOWEST, _HIGHEST = 0.05, 20.0


class TemperatureScalingClassifier(BaseHeldOutClassifier):
    r"""Calibrates every softmax of a tree by a temperature.

    The probability of each child given its parent becomes

    .. math:: \frac{P(c \mid p)^{1 / T}}{\sum_j P(c_j \mid p)^{1 / T}}

    and the probability of a class the product over its path. So a parent is still the sum
    of its children, and a level can be confident while another is not. Above 1 a
    temperature makes the estimator less confident, below 1 more.

    The temperatures minimise the negative log-likelihood of the paths of rows that the
    estimator was not trained on.

    Parameters
    ----------
    estimator : estimator
        A classifier with ``predict_proba``, flat or hierarchical: what it says of the
        classes is added up for the nodes above.
    by : {"level", "group", "all"}, default="level"
        What shares a temperature: the softmaxes of a level, or all; with "group" each has
        its own, which takes many held-out rows below every node.
    hierarchy : Hierarchy, dict, edges or graph, optional
        A tree that has all labels. None is that of the fitted estimator: its
        ``hierarchy_``, or that of the last step of a pipeline or the best of a search.
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
    temperatures_ : ndarray of shape (n_inner,), float64
        The temperature of the children of each inner node, in the order of
        ``hierarchy_.inner_indices``: the root first.
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
    Temperatures stay between 0.05 and 20. One that no held-out row bears on is that of its
    level, or else 1. A probability of 0 among siblings counts as 2e-16, as in scikit-learn,
    so that a temperature can repair an estimator that is certain and wrong.

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
        by: str = "level",
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
        steps = [
            _Softmaxes(fold.classes, hierarchy).steps(fold.proba, labels[fold.rows])
            for fold in folds
        ]
        groups, sizes, gaps = (np.concatenate(parts) for parts in zip(*steps, strict=True))
        levels = np.append(hierarchy.depths, 0)[hierarchy.inner_indices]  # the last is the root's
        units = {
            "all": np.zeros(len(levels), dtype=np.intp),
            "level": levels,
            "group": np.arange(len(levels)),
        }
        temperatures = np.ones(len(levels))
        for by in {"all": ["all"], "level": ["level"], "group": ["level", "group"]}[self.by]:
            for unit, temperature in _fit(units[by][groups], sizes, gaps):
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
        softmaxes = _Softmaxes(self.classes_, self.hierarchy_)
        proba = finite_proba(self.estimator_, X)
        log_proba = softmaxes.rescale(softmaxes.log_shares(proba), self.temperatures_)
        return log_proba.astype(proba.dtype if proba.dtype.kind == "f" else np.float64)

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
            :meth:`Hierarchy.aggregate` adds them up for the nodes above.
        """
        proba: NDArray[Any] = np.exp(self.predict_log_proba(X))
        return proba

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the likeliest class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of length n_samples
            What the estimator reads.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        check_is_fitted(self)
        labels: NDArray[Any] = self.classes_[self.predict_log_proba(X).argmax(axis=1)]
        return labels


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
            parents = np.bincount(hierarchy.edge_children)
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
        self.classes, self.hierarchy = classes, hierarchy
        self.nodes = np.unique(above)
        self.columns = np.searchsorted(self.nodes, positions)
        self.parents = hierarchy.edge_parents[self.nodes]
        self.starts = np.flatnonzero(np.diff(self.parents, prepend=-2))
        self.sizes = np.diff(self.starts, append=len(self.nodes))
        # Which inner node each softmax belongs to.
        self.groups = np.searchsorted(hierarchy.inner_indices, self.parents[self.starts])

    def log_shares(self, proba: NDArray[Any]) -> NDArray[np.float64]:
        """Return the log-probability of each node given its parent.

        Parameters
        ----------
        proba : ndarray of shape (n, n_classes)
            Probabilities of the classes.

        Returns
        -------
        ndarray of shape (n, n_nodes)
            Equal among siblings whose parent has probability 0.
        """
        values = self.hierarchy.aggregate(proba.astype(np.float64), self.classes)[:, self.nodes]
        totals = np.repeat(np.add.reduceat(values, self.starts, axis=1), self.sizes, axis=1)
        equal = np.broadcast_to(1 / np.repeat(self.sizes, self.sizes), values.shape)
        shares = np.divide(values, totals, out=equal.copy(), where=totals > 0)
        logs: NDArray[np.float64] = np.log(np.maximum(shares, np.finfo(np.float64).eps))
        return logs

    def rescale(
        self, log_shares: NDArray[np.float64], temperatures: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the log-probability of each class at some temperatures.

        Parameters
        ----------
        log_shares : ndarray of shape (n, n_nodes)
            What :meth:`log_shares` returned.
        temperatures : ndarray of shape (n_inner,)
            One for each inner node of the hierarchy.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        logs = log_shares / np.repeat(temperatures[self.groups], self.sizes)
        logs -= np.repeat(_log_sum_exp(logs, self.starts, self.sizes), self.sizes, axis=1)
        depths = self.hierarchy.depths[self.nodes]
        for depth in range(2, depths[-1] + 1):
            below = np.flatnonzero(depths == depth)
            logs[:, below] += logs[:, np.searchsorted(self.nodes, self.parents[below])]
        return logs[:, self.columns]

    def steps(
        self, proba: NDArray[Any], labels: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Compare each true node with its siblings, on the path of each row.

        Parameters
        ----------
        proba : ndarray of shape (n, n_classes)
            Probabilities of the classes.
        labels : ndarray of shape (n,), dtype intp
            Positions of the true nodes. A path counts as far as there are classes below.

        Returns
        -------
        groups : ndarray of shape (n_steps,), dtype intp
            The softmax of each step, counted as the inner nodes are. Those of an only child
            are left out.
        sizes : ndarray of shape (n_steps,), dtype intp
            The number of siblings, the true one among them.
        gaps : ndarray of shape (sum of sizes,)
            How much higher than the true one's is the log-probability of each sibling.
        """
        rows, truth = self.hierarchy.ancestor_pairs(labels)
        known = np.isin(truth, self.nodes)
        rows, columns = rows[known], np.searchsorted(self.nodes, truth[known])
        softmaxes = np.searchsorted(self.starts, columns, side="right") - 1
        chosen = self.sizes[softmaxes] > 1
        rows, columns, softmaxes = rows[chosen], columns[chosen], softmaxes[chosen]
        offsets = np.append(self.starts, len(self.nodes))
        siblings, sizes = gather(offsets, np.arange(len(self.nodes)), softmaxes)
        logs = self.log_shares(proba)
        gaps = logs[np.repeat(rows, sizes), siblings] - np.repeat(logs[rows, columns], sizes)
        return self.groups[softmaxes], sizes, gaps


def _log_sum_exp(
    values: NDArray[np.float64], starts: NDArray[np.intp], sizes: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the log-sum-exp of each run of the last axis."""
    highest = np.maximum.reduceat(values, starts, axis=-1)
    rest = np.exp(values - np.repeat(highest, sizes, axis=-1))
    result: NDArray[np.float64] = highest + np.log(np.add.reduceat(rest, starts, axis=-1))
    return result


def _fit(
    units: NDArray[np.intp], sizes: NDArray[np.intp], gaps: NDArray[np.float64]
) -> list[tuple[int, float]]:
    """Return each unit that has steps, and its temperature.

    Parameters
    ----------
    units : ndarray of shape (n_steps,), dtype intp
        What shares a temperature.
    sizes, gaps : ndarray
        As :meth:`_Softmaxes.steps` returns them.

    Returns
    -------
    list of (int, float)
    """
    order = np.argsort(units, kind="stable")
    cells, sizes = gather(np.append(0, np.cumsum(sizes)), np.arange(len(gaps)), order)
    ends = np.append(0, np.cumsum(sizes))
    found, first = np.unique(units[order], return_index=True)
    bounds = pairwise([*first.tolist(), len(units)])
    temperatures = []
    for unit, (start, stop) in zip(found.tolist(), bounds, strict=True):
        own = gaps[cells[ends[start] : ends[stop]]]
        temperatures.append((unit, _best_temperature(own, sizes[start:stop])))
    return temperatures


def _best_temperature(gaps: NDArray[np.float64], sizes: NDArray[np.intp]) -> float:
    """Return the temperature at which the true siblings are likeliest."""
    starts = np.cumsum(sizes) - sizes

    def loss(log_temperature: float) -> float:
        return float(_log_sum_exp(gaps / np.exp(log_temperature), starts, sizes).sum())

    # Convex in 1 / T, so that it has one valley in log T too.
    found = minimize_scalar(loss, bounds=(np.log(_LOWEST), np.log(_HIGHEST)), method="bounded")
    # Not better where all siblings are always equal, whatever the temperature.
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
