"""How often predictions are right, against how specific they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.blocks import row_blocks
from hierclf._utils.find_hierarchy import fitted_hierarchy
from hierclf._utils.proba import read_proba
from hierclf.decisions._base import by_depth, covering
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.metrics._levels import information_of_nodes
from hierclf.metrics._read import check_lengths, read_positions, read_weight
from hierclf.plotting._common import (
    check_plot_params,
    get_axes,
    refuse_several,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class AccuracySpecificityDisplay:
    """The trade-off between being right and being specific.

    A classifier may predict the deepest node whose probability reaches a threshold
    (:class:`hierclf.decisions.Threshold`). With a higher threshold it is right more often, and
    its predictions are less specific. The curve shows both for each threshold. Use
    :meth:`from_estimator` or :meth:`from_predictions`, and ``ax=display.ax_`` to compare several
    classifiers.

    Parameters
    ----------
    accuracy : ndarray of shape (n_thresholds,)
        The share of samples whose prediction is the true node or an ancestor of it.
    specificity : ndarray of shape (n_thresholds,)
        The mean of ``1 - log(leaves below the prediction) / log(leaves)``. It is 1 if every
        prediction is a leaf, and 0 if no prediction says more than the root.
    thresholds : ndarray of shape (n_thresholds,)
        The least probability that a prediction must have.
    name : str, optional
        The name of the classifier, for the legend.

    Attributes
    ----------
    accuracy, specificity, thresholds : ndarray of shape (n_thresholds,)
        The points of the curve.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    line_ : matplotlib Line2D
        The curve.

    See Also
    --------
    hierclf.decisions.Threshold : The decision.
    hierclf.decisions.InformationGainClassifier : Finds the trade-off for an accuracy.

    References
    ----------
    .. [1] J. Deng, J. Krause, A. C. Berg and L. Fei-Fei, "Hedging Your Bets: Optimizing
       Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

    Examples
    --------
    The second sample is a dog. With a threshold of 0.5 it is predicted to be a cat. With a higher
    threshold the prediction is "animal", which leaves two of the four leaves open.

    >>> from hierclf.plotting import AccuracySpecificityDisplay
    >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["elm", "oak"]}
    >>> display = AccuracySpecificityDisplay.from_predictions(
    ...     ["cat", "dog"],
    ...     [[0.75, 0.25, 0.0, 0.0], [0.5, 0.25, 0.125, 0.125]],
    ...     classes=["cat", "dog", "elm", "oak"],
    ...     hierarchy=hierarchy,
    ...     thresholds=[0.5, 0.625, 0.875],
    ... )
    >>> display.accuracy.tolist(), display.specificity.tolist()
    ([0.5, 1.0, 1.0], [1.0, 0.75, 0.5])
    """

    def __init__(
        self,
        accuracy: ArrayLike,
        specificity: ArrayLike,
        thresholds: ArrayLike,
        name: str | None = None,
    ) -> None:
        self.accuracy = np.asarray(accuracy, dtype=np.float64)
        self.specificity = np.asarray(specificity, dtype=np.float64)
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.name = name
        shapes = {array.shape for array in (self.accuracy, self.specificity, self.thresholds)}
        if len(shapes) > 1 or self.accuracy.ndim != 1:
            raise ValueError(
                "accuracy, specificity and thresholds must be 1-D and of one length, their shapes "
                f"are {self.accuracy.shape}, {self.specificity.shape} and {self.thresholds.shape}"
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        hierarchy: Any = None,
        thresholds: int | ArrayLike = 101,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **line_params: Any,
    ) -> Self:
        """Draw the curve of a classifier.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with ``predict_proba``, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples that the estimator was not fitted on.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            The true labels or paths of the samples.
        hierarchy : Hierarchy, dict, edges or graph, optional
            The hierarchy. Needed if the estimator has no ``hierarchy_``, or if `y` has labels
            that the estimator was not fitted on.
        thresholds, sample_weight, ax, **line_params
            As in :meth:`from_predictions`.
        name : str, optional
            The name for the legend. None is the name of the estimator's class.

        Returns
        -------
        AccuracySpecificityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As :meth:`from_predictions` does, or if no hierarchy is known, or the estimator was
            fitted to several labels per sample.

        Examples
        --------
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from hierclf.plotting import AccuracySpecificityDisplay
        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["cat", "cat", "oak", "oak"]
        >>> display = AccuracySpecificityDisplay.from_estimator(
        ...     GaussianNB().fit(X, y), X, y, hierarchy={"animal": ["cat"], "plant": ["oak"]}
        ... )
        >>> display.name, len(display.accuracy), display.accuracy.min()
        ('GaussianNB', 101, np.float64(1.0))
        """
        refuse_several(
            estimator,
            "AccuracySpecificityDisplay",
            "sklearn.metrics.PrecisionRecallDisplay.from_predictions shows the trade-off of a node",
        )
        hierarchy = fitted_hierarchy(estimator, hierarchy)
        grid = _read_thresholds(thresholds)
        check_plot_params(cls, line_params)
        return cls.from_predictions(
            y,
            estimator.predict_proba(X),
            classes=estimator.classes_,
            hierarchy=hierarchy,
            thresholds=grid,
            sample_weight=sample_weight,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **line_params,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_proba: ArrayLike,
        *,
        classes: ArrayLike,
        hierarchy: Any,
        thresholds: int | ArrayLike = 101,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **line_params: Any,
    ) -> Self:
        """Draw the curve of predicted probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or (n_samples, n_levels)
            True labels or paths.
        y_proba : array-like of shape (n_samples, n_classes)
            The result of ``predict_proba``.
        classes : array-like of shape (n_classes,)
            The classes of its columns.
        hierarchy : Hierarchy, dict, edges or graph
            The hierarchy.
        thresholds : int or array-like of shape (n_thresholds,), default=101
            Probabilities from 0 to 1, or the number of evenly spaced ones.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.
        name : str, optional
            The name for the legend.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **line_params
            As in :meth:`plot`.

        Returns
        -------
        AccuracySpecificityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If labels or classes are not in the hierarchy, the shapes do not fit, or a threshold
            or one of `y_proba` is not a probability.
        """
        grid = _read_thresholds(thresholds)
        check_plot_params(cls, line_params)
        hierarchy = as_hierarchy(hierarchy)
        true = read_positions(y_true, "y_true", hierarchy)
        _, columns, proba = read_proba(y_proba, classes, hierarchy, name="y_proba")
        check_lengths(len(true), "y_proba", len(proba))
        weight = read_weight(sample_weight, len(true))
        chosen, likely = _likeliest_by_depth(proba, columns, hierarchy)
        gains = information_of_nodes(hierarchy)
        right = hierarchy.are_at_or_above(chosen, true)
        accuracy, specificity = [], []
        rows = np.arange(len(true))
        for threshold in grid:
            enough = likely >= threshold
            enough[0] = True  # the root is not a class: the top level is the least to say
            depth = len(enough) - 1 - enough[::-1].argmax(axis=0)
            accuracy.append(np.average(right[depth, rows], weights=weight))
            specificity.append(np.average(gains[chosen[depth, rows]], weights=weight))
        return cls(accuracy, specificity, grid, name).plot(ax=ax, **line_params)

    def plot(self, ax: Any = None, *, name: str | None = None, **line_params: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        name : str, optional
            The name for the legend. None is the name of the display.
        **line_params
            Parameters of :meth:`matplotlib.axes.Axes.plot`, such as ``color`` and
            ``linestyle``.

        Returns
        -------
        AccuracySpecificityDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = get_axes("AccuracySpecificityDisplay.plot", ax, (6.0, 4.5))
        label = self.name if name is None else name
        style = {"label": label, "marker": ".", "markersize": 4} | line_params
        (self.line_,) = ax.plot(self.specificity, self.accuracy, **style)
        ax.set(
            xlabel="Specificity (share of the information that a leaf gives)",
            ylabel="Accuracy (right at any depth)",
        )
        if style["label"] is not None:
            ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _read_thresholds(thresholds: Any) -> NDArray[np.float64]:
    if isinstance(thresholds, (int, np.integer)) and not isinstance(thresholds, bool):
        if thresholds < 1:
            raise ValueError(f"thresholds must be at least 1 or an array, got {thresholds}")
        return np.linspace(0, 1, thresholds)
    grid = np.asarray(thresholds, dtype=np.float64)
    outside = ~((grid >= 0) & (grid <= 1))
    if grid.ndim != 1 or not len(grid) or outside.any():
        given = grid[outside][0] if outside.any() else thresholds
        raise ValueError(f"thresholds must be probabilities, from 0 to 1, got {given}")
    return grid


def _likeliest_by_depth(
    proba: NDArray[Any], classes: NDArray[np.intp], hierarchy: Hierarchy
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the likeliest node of each depth and its probability, each of shape (depth, n).

    Nodes with no class at or below them are none of them.
    """
    nodes, sums = covering(classes, hierarchy)
    depths = by_depth(nodes, hierarchy)
    chosen = np.empty((len(depths), len(proba)), dtype=np.intp)
    likely = np.empty((len(depths), len(proba)))
    for block in row_blocks(len(proba), len(nodes)):
        masses = sums @ proba[block].T
        for k, depth in enumerate(depths):
            chosen[k, block] = nodes[depth][masses[depth].argmax(axis=0)]
            likely[k, block] = masses[depth].max(axis=0)
    return chosen, likely
