"""Which nodes of a level are taken for which, siblings side by side."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix as count_pairs

from hierclf._utils.find_hierarchy import fitted_hierarchy
from hierclf.hierarchy import as_hierarchy
from hierclf.hierarchy._drawing import printable
from hierclf.hierarchy._nodes import shorten
from hierclf.metrics._levels import ancestors_on_level
from hierclf.metrics._read import read_nodes
from hierclf.plotting._common import (
    axes_size,
    check_plot_params,
    fit_text,
    get_axes,
    readable_size,
    refuse_several,
    text_width,
)
from hierclf.plotting._layout import drawn_parents

if TYPE_CHECKING:
    from typing_extensions import Self

FEW = 20  # the most nodes whose values are written into the cells
LONGEST = 130.0  # of the name of a node, in points
LABELS = {
    None: "Number of samples",
    "true": "Share of the samples of the true node",
    "pred": "Share of the samples of the predicted node",
    "all": "Share of all samples",
}


class LevelConfusionMatrixDisplay:
    """A confusion matrix at a level of a hierarchy.

    Siblings are side by side. A frame on the diagonal holds the mistakes between siblings. The
    mistakes outside the frames are the severe ones. Use :meth:`from_estimator` or
    :meth:`from_predictions`.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_labels, n_labels)
        The matrix: true nodes in rows, predicted nodes in columns.
    hierarchy : Hierarchy, dict, edges or graph
        The hierarchy.
    level : int, "leaf" or "parent", default="leaf"
        The level of the labels.
    labels : sequence of nodes, optional
        The nodes of the rows and columns, in the order of ``hierarchy.nodes``. None is all
        nodes of the level.
    label : str, optional
        What the values mean, for the colour bar.

    Attributes
    ----------
    confusion_matrix : ndarray of shape (n_labels, n_labels)
        The matrix.
    labels : tuple of nodes
        The nodes of the rows and columns.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    im_ : matplotlib AxesImage
        The matrix as an image.
    text_ : ndarray of shape (n_labels, n_labels) of matplotlib Text, or None
        The values written into the cells.
    outlines_ : dict of node to matplotlib Rectangle
        The frame of each parent but the root.
    parent_texts_ : dict of node to matplotlib Text
        The names of parents beside the frames.
    colorbar_ : matplotlib Colorbar or None
        The colour bar.

    Raises
    ------
    ValueError
        If the labels are not nodes of the level in the order of ``hierarchy.nodes``, or the
        shape does not fit them.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Without a hierarchy.
    hierclf.metrics.level_accuracy_score : The share of the samples on the diagonal.

    Examples
    --------
    >>> from hierclf.plotting import LevelConfusionMatrixDisplay
    >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> display = LevelConfusionMatrixDisplay.from_predictions(
    ...     ["cat", "dog", "oak"], ["cat", "cat", "oak"], hierarchy=hierarchy
    ... )
    >>> display.labels
    ('cat', 'dog', 'oak')
    >>> display.confusion_matrix
    array([[1, 0, 0],
           [1, 0, 0],
           [0, 0, 1]])
    """

    def __init__(
        self,
        confusion_matrix: ArrayLike,
        hierarchy: Any,
        level: int | str = "leaf",
        labels: Any = None,
        *,
        label: str | None = None,
    ) -> None:
        self.confusion_matrix = np.asarray(confusion_matrix)
        self.hierarchy = as_hierarchy(hierarchy)
        self.level = level
        self.label = label
        on_level = self.hierarchy.level_indices(level)
        positions = on_level if labels is None else self.hierarchy.node_indices(labels)
        self.labels = tuple(self.hierarchy.nodes[i] for i in positions.tolist())
        strange = positions[~np.isin(positions, on_level)]
        if len(strange):
            names = shorten(self.hierarchy.nodes[i] for i in strange.tolist())
            raise ValueError(f"labels that are not on level {level!r}: {names}")
        if (np.diff(positions) <= 0).any():
            raise ValueError("labels must be in the order of hierarchy.nodes, each once")
        if self.confusion_matrix.shape != (len(positions), len(positions)):
            raise ValueError(
                f"confusion_matrix must have a row and a column for each of the {len(positions)} "
                f"labels, its shape is {self.confusion_matrix.shape}"
            )
        self._parents = drawn_parents(self.hierarchy)[positions]

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        level: int | str = "leaf",
        hierarchy: Any = None,
        normalize: Literal["true", "pred", "all"] | None = None,
        sample_weight: ArrayLike | None = None,
        include_absent: bool = True,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the mistakes that an estimator makes.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_levels)
            Their true labels or paths.
        level : int, "leaf" or "parent", default="leaf"
            A level of the hierarchy, 0 the top. Labels and predictions below it count as their
            ancestors.
        hierarchy : Hierarchy, dict, edges or graph, optional
            The hierarchy. Needed if the estimator has no ``hierarchy_``, or if `y` has labels
            that the estimator was not fitted on.
        normalize, sample_weight, include_absent, ax, **plot_params
            As in :meth:`from_predictions`.

        Returns
        -------
        LevelConfusionMatrixDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            As :meth:`from_predictions` does, or if no hierarchy is known, or the estimator was
            fitted to several labels per sample.

        Examples
        --------
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from hierclf.plotting import LevelConfusionMatrixDisplay
        >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["cat", "cat", "oak", "oak"]
        >>> display = LevelConfusionMatrixDisplay.from_estimator(
        ...     GaussianNB().fit(X, y), X, y, hierarchy={"animal": ["cat"], "plant": ["oak"]}
        ... )
        >>> display.confusion_matrix
        array([[2, 0],
               [0, 2]])
        """
        refuse_several(
            estimator,
            "LevelConfusionMatrixDisplay",
            "sklearn.metrics.multilabel_confusion_matrix counts the mistakes of each node",
        )
        hierarchy = fitted_hierarchy(estimator, hierarchy)
        hierarchy.level_indices(level)
        check_plot_params(cls, plot_params)
        return cls.from_predictions(
            y,
            estimator.predict(X),
            hierarchy=hierarchy,
            level=level,
            normalize=normalize,
            sample_weight=sample_weight,
            include_absent=include_absent,
            ax=ax,
            **plot_params,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        hierarchy: Any,
        level: int | str = "leaf",
        normalize: Literal["true", "pred", "all"] | None = None,
        sample_weight: ArrayLike | None = None,
        include_absent: bool = True,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the mistakes in predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
            True and predicted labels or paths. Each must end on the level or below it.
        hierarchy : Hierarchy, dict, edges or graph
            The hierarchy.
        level : int, "leaf" or "parent", default="leaf"
            A level of the hierarchy, 0 the top. Labels below it count as their ancestors.
        normalize : {"true", "pred", "all"}, optional
            Divide the counts by the sums of the rows of the matrix ("true"), of its columns
            ("pred"), or by the sum of all ("all"). None shows the counts.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the samples.
        include_absent : bool, default=True
            Whether to show the nodes of the level that are in neither `y_true` nor `y_pred`.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **plot_params
            Parameters of :meth:`plot`.

        Returns
        -------
        LevelConfusionMatrixDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no such level, a label is not in the hierarchy or stops above the level,
            or the numbers of true and predicted labels differ.

        Examples
        --------
        >>> from hierclf.plotting import LevelConfusionMatrixDisplay
        >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["oak"]}
        >>> y_true, y_pred = ["cat", "dog", "dog", "oak"], ["dog", "dog", "oak", "oak"]
        >>> LevelConfusionMatrixDisplay.from_predictions(
        ...     y_true, y_pred, hierarchy=hierarchy, level=0, normalize="true"
        ... ).confusion_matrix.round(2)
        array([[0.67, 0.33],
               [0.  , 1.  ]])
        """
        if normalize not in LABELS:
            raise ValueError(f'normalize must be "true", "pred", "all" or None, got {normalize!r}')
        check_plot_params(cls, plot_params)
        hierarchy = as_hierarchy(hierarchy)
        on_level = ancestors_on_level(hierarchy, level)
        rows = read_nodes(y_true, y_pred, hierarchy, sample_weight)
        for name, positions in [("y_true", rows.true), ("y_pred", rows.predicted)]:
            above = np.unique(positions[on_level[positions] < 0])
            if len(above):
                names = shorten(hierarchy.nodes[i] for i in above.tolist())
                raise ValueError(
                    f"{name} has labels that stop above level {level!r}: {names}. Leave their "
                    "rows out or show a level further up."
                )
        true, predicted = on_level[rows.true], on_level[rows.predicted]
        shown = hierarchy.level_indices(level)
        if not include_absent:
            shown = np.union1d(true, predicted)
        matrix = count_pairs(
            true,
            predicted,
            labels=shown,
            # Without weights the counts stay integers.
            sample_weight=None if sample_weight is None else rows.weight,
            normalize=normalize,
        )
        labels = [hierarchy.nodes[i] for i in shown.tolist()]
        label = LABELS[normalize] if sample_weight is None else f"{LABELS[normalize]}, weighted"
        return cls(matrix, hierarchy, level, labels, label=label).plot(ax=ax, **plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        include_values: bool | None = None,
        values_format: str | None = None,
        cmap: Any = "Blues",
        colorbar: bool = True,
    ) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure whose size suits the matrix.
        include_values : bool, optional
            Whether to write the values into the cells. None does so for up to 20 nodes.
        values_format : str, optional
            The format of the values. None is "d" for counts, ".2f" for shares and ".3g" for
            other values.
        cmap : str or matplotlib Colormap, default="Blues"
            The colours.
        colorbar : bool, default=True
            Whether to draw a colour bar.

        Returns
        -------
        LevelConfusionMatrixDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n = len(self.labels)
        writes = n <= FEW if include_values is None else include_values
        side = min(max((0.28 if writes else 0.19) * n + 2.5, 4.5), 12.0)
        ax = get_axes("LevelConfusionMatrixDisplay.plot", ax, (1.2 * side, side))
        self.im_ = ax.imshow(self.confusion_matrix, cmap=cmap, interpolation="nearest")
        ax.set(xlabel="Predicted node", ylabel="True node")
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(self.im_, ax=ax, label=self.label, shrink=0.8)
        groups = self._groups()
        self._frame(ax, groups)
        self._name(ax, groups)
        self.text_ = self._write_values(ax, values_format) if writes else None
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _groups(self) -> dict[int, tuple[int, int]]:
        """Return the first row of the siblings below each parent, and the row after the last."""
        starts = np.flatnonzero(np.diff(self._parents, prepend=-2)).tolist()
        ends = [*starts[1:], len(self._parents)]
        parents = self._parents[starts].tolist()
        return {p: (s, e) for p, s, e in zip(parents, starts, ends, strict=True) if p >= 0}

    def _frame(self, ax: Any, groups: dict[int, tuple[int, int]]) -> None:
        from matplotlib.patches import Rectangle

        self.outlines_ = {}
        for parent, (start, end) in groups.items():
            frame = Rectangle(
                (start - 0.5, start - 0.5),
                end - start,
                end - start,
                fill=False,
                edgecolor="C1",
                linewidth=1.2 if len(self.labels) <= 200 else 0.6,
                clip_on=False,
            )
            self.outlines_[self.hierarchy.nodes[parent]] = ax.add_patch(frame)

    def _name(self, ax: Any, groups: dict[int, tuple[int, int]]) -> None:
        """Name the nodes at the axes and the parents at the right, or only the parents."""
        n = len(self.labels)
        # The names take their room from the axes, and their size depends on it.
        for _ in range(2):
            cell = self._cell(ax)
            self._set_ticks(ax, groups, cell)
        self.parent_texts_: dict[Any, Any] = {}
        if readable_size(cell) is None:
            return
        for parent, (start, end) in groups.items():
            font = readable_size((end - start) * cell)
            if font is None:
                continue
            node = self.hierarchy.nodes[parent]
            self.parent_texts_[node] = ax.annotate(
                fit_text(printable(node), font, LONGEST, least=0),
                (n - 0.5, (start + end - 1) / 2),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=font,
                color="C1",
                parse_math=False,
            )
        self._make_room(ax)

    def _cell(self, ax: Any) -> float:
        return min(axes_size(ax)) / len(self.labels)

    def _make_room(self, ax: Any) -> None:
        """Move the colour bar away from the names of parents, if no layout engine does."""
        widths = [text_width(t.get_text(), t.get_fontsize()) for t in self.parent_texts_.values()]
        engine = ax.figure.canvas.figure.get_layout_engine()
        if engine is not None or self.colorbar_ is None or not widths:
            return
        figure_width = ax.figure.get_figwidth() * 72
        box = self.colorbar_.ax.get_position()
        shift = (max(widths) + 4) / figure_width
        self.colorbar_.ax.set_position([box.x0 + shift, box.y0, box.width, box.height])

    def _set_ticks(self, ax: Any, groups: dict[int, tuple[int, int]], cell: float) -> None:
        font = readable_size(cell)
        if font is not None:
            places = np.arange(len(self.labels), dtype=float)
            nodes = list(self.labels)
        else:
            wide = {p: (s, e) for p, (s, e) in groups.items() if (e - s) * cell >= 8}
            places = np.array([(start + end - 1) / 2 for start, end in wide.values()])
            nodes = [self.hierarchy.nodes[p] for p in wide]
            font = 7.0
        names = [fit_text(printable(node), font, LONGEST, least=0) for node in nodes]
        ax.set_xticks(places, names, rotation=90, fontsize=font, parse_math=False)
        ax.set_yticks(places, names, fontsize=font, parse_math=False)

    def _write_values(self, ax: Any, values_format: str | None) -> NDArray[Any]:
        matrix, n = self.confusion_matrix, len(self.labels)
        if values_format is None and matrix.dtype.kind == "f":
            values_format = ".2f" if matrix.max() <= 1 else ".3g"
        # A zero is shorter than the rest, so that the eye finds what is not zero.
        values = [format(v, values_format or "d") if v else "0" for v in matrix.ravel().tolist()]
        # A value must be no wider than its cell, which is as wide as it is high.
        widest = max(text_width(value, 1) for value in values)
        font = min(9.0, 0.85 * self._cell(ax) / widest)
        middle = (matrix.max() + matrix.min()) / 2
        texts = np.empty((n, n), dtype=object)
        for value, (i, j) in zip(values, product(range(n), repeat=2), strict=True):
            color = self.im_.cmap(1.0 if matrix[i, j] <= middle else 0.0)
            texts[i, j] = ax.text(j, i, value, ha="center", va="center", color=color, fontsize=font)
        return texts
