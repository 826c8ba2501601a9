"""A hierarchy as a tree or as rings, coloured by a value of each node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.find_hierarchy import fitted_hierarchy
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import shorten
from hierclf.metrics._read import Nodes, read_nodes
from hierclf.plotting._common import (
    GREY,
    axes_size,
    check_one_row,
    check_plot_params,
    get_axes,
    import_pyplot,
    node_probabilities,
)
from hierclf.plotting._rings import draw_rings
from hierclf.plotting._tree import draw_tree

KINDS = ("tree", "sunburst")
STATISTICS = ("accuracy", "support")


class HierarchyDisplay:
    """A drawing of a hierarchy whose nodes are coloured by a value.

    Use :meth:`from_estimator` for the probabilities that a classifier gives to one row, and
    :meth:`from_predictions` for where a classifier is right.

    Parameters
    ----------
    hierarchy : Hierarchy, dict, edges or graph
        What to draw.
    values : array-like of shape (n_nodes,) or dict of node to value, optional
        A number for each node: in the order of ``hierarchy.nodes``, or by node. A node that
        has none, or NaN, is grey. None draws all nodes alike.
    label : str, optional
        What the values are, for the colour bar.

    Attributes
    ----------
    hierarchy : Hierarchy
        What is drawn.
    values : ndarray of shape (n_nodes,) or None
        The values in the order of ``hierarchy.nodes``, NaN where there is none.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    positions_ : ndarray of shape (n_nodes + 1, 2) or None
        In a tree, x (the depth) and y of each node, and of the root last. Leaves are 1 apart and
        a parent is at the mean of its children; y grows downwards.
    angles_ : ndarray of shape (n_nodes, 2) or None
        In a sunburst, the angles at which each node's wedge ends, in degrees, anticlockwise from
        the right.
    nodes_ : matplotlib PathCollection or PatchCollection
        The nodes in node order: dots of a tree or wedges of a sunburst.
    edges_ : matplotlib LineCollection or None
        The edges of a tree, in the order of ``hierarchy.edges``.
    branches_ : matplotlib LineCollection or None
        The last stretch of the edge to each node of a tree, in node order and in its colour.
    texts_ : dict of node to matplotlib Text
        The names there was room for.
    colorbar_ : matplotlib Colorbar or None
        The colour bar.

    Raises
    ------
    ValueError
        If there are not as many values as nodes, or a key of `values` is not a node.

    See Also
    --------
    PredictionPathDisplay : One prediction, with its rivals at each step.

    Examples
    --------
    >>> from hierclf.plotting import HierarchyDisplay
    >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> display = HierarchyDisplay(hierarchy, {"animal": 0.75, "cat": 0.5}, label="Probability")
    >>> display.plot().positions_[:-1, 1].tolist()
    [0.5, 2.0, 0.0, 1.0, 2.0]
    """

    def __init__(
        self,
        hierarchy: Any,
        values: ArrayLike | Mapping[Any, float] | None = None,
        *,
        label: str | None = None,
    ) -> None:
        self.hierarchy = as_hierarchy(hierarchy)
        self.values = None if values is None else _read_values(values, self.hierarchy)
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_row: Any,
        *,
        hierarchy: Any = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> HierarchyDisplay:
        """Draw the probability of every node for one row.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with ``predict_proba``, or a pipeline or search that ends in one.
        X_row : {array-like, sparse matrix} of shape (1, n_features)
            One row, such as ``X[:1]``; or a list of one text.
        hierarchy : Hierarchy, dict, edges or graph, optional
            The hierarchy of the classes, where the estimator has no ``hierarchy_``.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **plot_params
            Parameters of :meth:`plot`. Colours are from 0 to 1 unless `vmin` and `vmax` say
            otherwise.

        Returns
        -------
        HierarchyDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `X_row` is not one row, or no hierarchy is known.

        Examples
        --------
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from hierclf.plotting import HierarchyDisplay
        >>> clf = GaussianNB().fit([[0.0], [1.0], [4.0], [5.0]], ["cat", "cat", "oak", "oak"])
        >>> hierarchy = {"animal": ["cat"], "plant": ["oak"]}
        >>> display = HierarchyDisplay.from_estimator(clf, [[2.5]], hierarchy=hierarchy)
        >>> display.values.round(2).tolist()
        [0.5, 0.5, 0.5, 0.5]
        """
        check_one_row(X_row)
        hierarchy = fitted_hierarchy(estimator, hierarchy)
        _check_plot(hierarchy, plot_params)
        values = node_probabilities(estimator, X_row, hierarchy)[0]
        scale = {} if "norm" in plot_params else {"vmin": 0.0, "vmax": 1.0}
        return cls(hierarchy, values, label="Probability").plot(ax=ax, **scale | plot_params)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        hierarchy: Any,
        statistic: str = "accuracy",
        sample_weight: ArrayLike | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> HierarchyDisplay:
        """Draw how often the rows of each node are predicted to belong to it.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,) or (n_samples, n_levels)
            Labels or paths, leaves or inner nodes; see :mod:`hierclf.metrics`.
        hierarchy : Hierarchy, dict, edges or graph
            The hierarchy.
        statistic : {"accuracy", "support"}, default="accuracy"
            "accuracy": of the rows truly at or below a node, the share whose prediction is at
            or below it (the recall of the node). "support": how many rows are truly at or below
            it, in colours by logarithm. A node without rows is grey.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **plot_params
            Parameters of :meth:`plot`.

        Returns
        -------
        HierarchyDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no such statistic, a label is not in the hierarchy, or there are not as
            many labels of the one sort as of the other.

        Examples
        --------
        >>> from hierclf.plotting import HierarchyDisplay
        >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["oak"]}
        >>> display = HierarchyDisplay.from_predictions(
        ...     ["cat", "cat", "dog", "oak"], ["cat", "dog", "oak", "oak"], hierarchy=hierarchy
        ... )
        >>> dict(zip(display.hierarchy.nodes, display.values.round(2).tolist()))
        {'animal': 0.67, 'plant': 1.0, 'cat': 0.5, 'dog': 0.0, 'oak': 1.0}
        """
        if statistic not in STATISTICS:
            raise ValueError(f'statistic must be "accuracy" or "support", got {statistic!r}')
        hierarchy = as_hierarchy(hierarchy)
        _check_plot(hierarchy, plot_params)
        support, hits = _count_hits(read_nodes(y_true, y_pred, hierarchy, sample_weight))
        if statistic == "support":
            display = cls(hierarchy, support, label="Number of rows")
            scale: dict[str, Any] = {"norm": "log"}
        else:
            display = cls(hierarchy, hits / support, label="Accuracy")
            scale = {} if "norm" in plot_params else {"vmin": 0.0, "vmax": 1.0}
        return display.plot(ax=ax, **scale | plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        kind: str = "tree",
        cmap: Any = "viridis",
        norm: Any = None,
        vmin: float | None = None,
        vmax: float | None = None,
        colorbar: bool = True,
        max_labels: int | None = None,
    ) -> HierarchyDisplay:
        """Draw the hierarchy.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure, of a size that suits the hierarchy.
        kind : {"tree", "sunburst"}, default="tree"
            "tree": the root at the left and the leaves in rows; a DAG has each node once, with
            dotted lines from its further parents. "sunburst": a ring for each level, a node as
            wide as its share of the leaves; for trees only.
        cmap : str or matplotlib Colormap, default="viridis"
            The colours.
        norm : str or matplotlib Normalize, optional
            How values become colours, such as "log". None is linear.
        vmin, vmax : float, optional
            The values of the first and the last colour. None is the least and the greatest.
        colorbar : bool, default=True
            Whether to draw a colour bar, where there are values.
        max_labels : int, optional
            The most names to write. Names are left out anyway where there is no room: leaves of
            a tree are all named or none, inner nodes by how many leaves they have.

        Returns
        -------
        HierarchyDisplay
            The display itself.

        Raises
        ------
        ValueError
            If there is no such kind, or a sunburst is asked of a DAG.
        ImportError
            If matplotlib is not installed.
        """
        _check_plot(self.hierarchy, {"kind": kind, "max_labels": max_labels})
        height = 0.16 * len(self.hierarchy.leaves) + 1
        figsize = (2.5 + 1.8 * self.hierarchy.n_levels, height) if kind == "tree" else (8.0, 7.0)
        ax = get_axes("HierarchyDisplay.plot", ax, _clip_size(figsize))
        ax.set_axis_off()
        colors, mappable = self._colors(cmap, norm, vmin, vmax)
        self.colorbar_ = None
        if mappable is not None and colorbar:
            self.colorbar_ = _add_colorbar(ax, mappable, self.label)
        draw = draw_tree if kind == "tree" else draw_rings
        drawn = draw(ax, self.hierarchy, colors, axes_size(ax), max_labels)
        self.positions_, self.angles_ = drawn.positions, drawn.angles
        self.nodes_, self.texts_ = drawn.nodes, drawn.texts
        self.edges_, self.branches_ = drawn.edges, drawn.branches
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _colors(self, cmap: Any, norm: Any, vmin: Any, vmax: Any) -> tuple[NDArray[Any], Any]:
        """Return the colour of each node, of shape (N, 4), and what a colour bar shows."""
        plt = import_pyplot("HierarchyDisplay.plot")
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import to_rgba

        if self.values is None:
            return np.tile(to_rgba("C0"), (len(self.hierarchy), 1)), None
        mappable = ScalarMappable(norm=norm, cmap=plt.get_cmap(cmap).with_extremes(bad=GREY))
        values = np.ma.masked_invalid(self.values)
        mappable.set_array(values)
        mappable.set_clim(vmin, vmax)
        mappable.autoscale_None()
        # A logarithm has no colour for what is not positive: it is grey as well.
        return mappable.to_rgba(values), None if values.mask.all() else mappable


def _add_colorbar(ax: Any, mappable: Any, label: str | None) -> Any:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogFormatter

    bar = ax.figure.colorbar(mappable, ax=ax, label=label, shrink=0.6, pad=0.02, aspect=25)
    if isinstance(mappable.norm, LogNorm):  # 200, not 2 x 10^2
        bar.formatter = bar.minorformatter = LogFormatter()
    return bar


def _read_values(values: Any, hierarchy: Hierarchy) -> NDArray[np.float64]:
    if isinstance(values, Mapping):
        unknown = [node for node in values if node not in hierarchy]
        if unknown:
            raise ValueError(f"values has keys that are no nodes: {shorten(unknown)}")
        return np.array([values.get(node, np.nan) for node in hierarchy.nodes], dtype=np.float64)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(hierarchy),):
        raise ValueError(
            f"values must be a number for each of the {len(hierarchy)} nodes, in the order of "
            f"hierarchy.nodes, or a dict; its shape is {array.shape}"
        )
    return array


def _check_plot(hierarchy: Hierarchy, params: dict[str, Any]) -> None:
    check_plot_params(HierarchyDisplay, params)
    kind, max_labels = params.get("kind", "tree"), params.get("max_labels")
    if kind not in KINDS:
        raise ValueError(f'kind must be "tree" or "sunburst", got {kind!r}')
    if kind == "sunburst" and not hierarchy.is_tree:
        raise ValueError(
            'kind="sunburst" needs a tree, and the hierarchy is a DAG: use kind="tree", which '
            "draws each node once with all its edges"
        )
    if max_labels is not None and max_labels < 0:
        raise ValueError(f"max_labels must not be negative, got {max_labels!r}")


def _count_hits(rows: Nodes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of the rows truly at or below each node, and of those predicted so too.

    The first is NaN where it would be 0.
    """
    n = len(rows.hierarchy)
    items, nodes = rows.hierarchy.ancestor_pairs(rows.true)
    pred_items, pred_nodes = rows.hierarchy.ancestor_pairs(rows.predicted)
    weight = rows.weight[items]
    is_hit = np.isin(items * n + nodes, pred_items * n + pred_nodes)
    support = np.bincount(nodes, weights=weight, minlength=n).astype(np.float64)
    hits = np.bincount(nodes, weights=weight * is_hit, minlength=n)
    return np.where(support > 0, support, np.nan), hits.astype(np.float64)


def _clip_size(figsize: tuple[float, float]) -> tuple[float, float]:
    width, height = figsize
    return min(max(width, 6.0), 14.0), min(max(height, 3.5), 14.0)
