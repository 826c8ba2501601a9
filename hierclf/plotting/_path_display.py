"""One prediction, step by step, beside its rivals."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.find_hierarchy import fitted_hierarchy
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._drawing import printable
from hierclf.hierarchy._nodes import plain_array
from hierclf.plotting._common import (
    GREY,
    check_node_proba,
    check_one_row,
    check_plot_params,
    fit_text,
    get_axes,
    node_probabilities,
    refuse_several,
)

if TYPE_CHECKING:
    from typing_extensions import Self

LONGEST = 150.0  # of the name of a node, in points


class PathStep(NamedTuple):
    """One step down a path.

    Attributes
    ----------
    parent : node
        The node where the step starts: the root, or the node chosen before.
    nodes : tuple of nodes
        The chosen child and its likeliest siblings, the likeliest first.
    proba : ndarray of shape (n_nodes,)
        Their probabilities, given the parent.
    chosen : int
        The position of the chosen child in `nodes`.
    path_proba : float
        The probability of the chosen node: the product of all steps so far.
    n_others : int
        The number of children of the parent that are not in `nodes`.
    """

    parent: Any
    nodes: tuple[Any, ...]
    proba: NDArray[np.float64]
    chosen: int
    path_proba: float
    n_others: int


class PredictionPathDisplay:
    """The steps to one prediction, with the probabilities of the alternatives at each step.

    Use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    node_proba : array-like of shape (n_nodes,)
        The probability of every node, in the order of ``hierarchy.nodes``.
    hierarchy : Hierarchy, dict or edges
        The hierarchy, a tree.
    prediction : node, optional
        Where the path ends. None is the likeliest leaf.
    n_rivals : int, default=3
        Number of siblings of each chosen node to show, the likeliest first.

    Attributes
    ----------
    path : tuple of nodes
        The path, from the top level to the prediction.
    steps : list of PathStep
        The steps of the path.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    bars_ : list of matplotlib BarContainer
        The bars of each step, in the order of its ``nodes``.
    titles_ : list of matplotlib Text
        The texts above each step: at the left its parent, at the right the probability of the
        path so far.

    Raises
    ------
    ValueError
        If the hierarchy is a DAG, `node_proba` does not fit it, or `prediction` is not a node.

    See Also
    --------
    HierarchyDisplay : The probability of every node in one picture.

    Examples
    --------
    >>> from hierclf.plotting import PredictionPathDisplay
    >>> hierarchy = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> display = PredictionPathDisplay([0.75, 0.25, 0.5, 0.25, 0.25], hierarchy)
    >>> display.path
    ('animal', 'cat')
    >>> display.steps[1].nodes, display.steps[1].proba.round(2).tolist()
    (('cat', 'dog'), [0.67, 0.33])
    >>> display.steps[1].path_proba
    0.5
    """

    def __init__(
        self, node_proba: ArrayLike, hierarchy: Any, prediction: Any = None, *, n_rivals: int = 3
    ) -> None:
        self.hierarchy = as_hierarchy(hierarchy)
        _check_rivals(self.hierarchy, n_rivals)
        self.node_proba = check_node_proba(node_proba, self.hierarchy)
        leaves = self.hierarchy.leaf_indices
        if prediction is None:
            prediction = self.hierarchy.nodes[leaves[self.node_proba[leaves].argmax()]]
        positions = self.hierarchy.node_indices(plain_array([prediction]))
        self.path = self.hierarchy.path(self.hierarchy.nodes[positions[0]])
        self.steps = self._read_steps(n_rivals)

    def _read_steps(self, n_rivals: int) -> list[PathStep]:
        proba = np.append(self.node_proba, 1.0)  # the last is the root's, at -1
        nodes, parents = self.hierarchy.nodes, self.hierarchy.arrays.edge_parents
        steps = []
        for i in self.hierarchy.node_indices(plain_array(self.path)).tolist():
            parent = parents[i]
            group = np.flatnonzero(parents == parent)
            others = group[group != i]
            rivals = others[np.argsort(-proba[others], kind="stable")][:n_rivals]
            shown = np.sort(np.append(rivals, i))
            shown = shown[np.argsort(-proba[shown], kind="stable")]
            # Below a node without probability there is nothing to share.
            share = proba[shown] / proba[parent] if proba[parent] > 0 else np.zeros(len(shown))
            steps.append(
                PathStep(
                    parent=self.hierarchy.root if parent < 0 else nodes[parent],
                    nodes=tuple(nodes[j] for j in shown.tolist()),
                    proba=share,
                    chosen=int(np.flatnonzero(shown == i)[0]),
                    path_proba=float(proba[i]),
                    n_others=len(group) - len(shown),
                )
            )
        return steps

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_row: Any,
        *,
        hierarchy: Any = None,
        n_rivals: int = 3,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the path to the prediction for one sample.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier with ``predict_proba``, or a pipeline or search that ends in one.
        X_row : {array-like, sparse matrix} of shape (1, n_features)
            One sample, such as ``X[:1]``, or a list of one text.
        hierarchy : Hierarchy, dict or edges, optional
            The hierarchy of the classes. Needed if the estimator has no ``hierarchy_``.
        n_rivals : int, default=3
            Number of siblings of each chosen node to show, the likeliest first.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **plot_params
            Parameters of :meth:`plot`.

        Returns
        -------
        PredictionPathDisplay
            The display, drawn. Its path ends at what ``predict`` returns.

        Raises
        ------
        ValueError
            If `X_row` is not one sample, the estimator was fitted to several labels per sample, no
            hierarchy is known, or it is a DAG.

        Examples
        --------
        >>> from sklearn.naive_bayes import GaussianNB
        >>> from hierclf.plotting import PredictionPathDisplay
        >>> clf = GaussianNB().fit([[0.0], [1.0], [4.0], [5.0]], ["cat", "cat", "oak", "oak"])
        >>> hierarchy = {"animal": ["cat"], "plant": ["oak"]}
        >>> PredictionPathDisplay.from_estimator(clf, [[5.5]], hierarchy=hierarchy).path
        ('plant', 'oak')
        """
        refuse_several(
            estimator,
            "PredictionPathDisplay",
            "HierarchyDisplay draws the probabilities of all nodes",
        )
        check_one_row(X_row)
        hierarchy = fitted_hierarchy(estimator, hierarchy)
        _check_rivals(hierarchy, n_rivals)
        check_plot_params(cls, plot_params)
        node_proba = node_probabilities(estimator, X_row, hierarchy)[0]
        predicted = np.asarray(estimator.predict(X_row))
        if predicted.ndim == 2:
            predicted = hierarchy.leaves_from_paths(predicted)
        display = cls(node_proba, hierarchy, predicted[0], n_rivals=n_rivals)
        return display.plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        node_proba: ArrayLike,
        *,
        hierarchy: Any,
        prediction: Any = None,
        n_rivals: int = 3,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the path to a prediction, given the probability of every node.

        Parameters
        ----------
        node_proba : array-like of shape (n_nodes,)
            The probability of every node, in the order of ``hierarchy.nodes``, as from
            :meth:`hierclf.Hierarchy.aggregate`.
        hierarchy : Hierarchy, dict or edges
            The hierarchy, a tree.
        prediction : node, optional
            Where the path ends. None is the likeliest leaf.
        n_rivals : int, default=3
            Number of siblings of each chosen node to show, the likeliest first.
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure.
        **plot_params
            Parameters of :meth:`plot`.

        Returns
        -------
        PredictionPathDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the hierarchy is a DAG, `node_proba` does not fit it, or `prediction` is not a
            node.
        """
        check_plot_params(cls, plot_params)
        display = cls(node_proba, hierarchy, prediction, n_rivals=n_rivals)
        return display.plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, color: Any = "C0", rival_color: Any = GREY) -> Self:
        """Draw the steps from the top down.

        A bar is the probability of a child, given its parent. Above each step are its parent and
        the probability of the path so far, up to the chosen child.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a new figure whose height suits the path.
        color, rival_color : matplotlib color, default="C0" and grey
            The colours of the chosen children and of their rivals.

        Returns
        -------
        PredictionPathDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_rows = sum(len(step.nodes) + 1.6 for step in self.steps)
        ax = get_axes("PredictionPathDisplay.plot", ax, (6.5, 0.24 * n_rows + 0.8))
        self.bars_, self.titles_ = [], []
        y, ticks, names = 0.0, [], []
        for step in self.steps:
            self.titles_ += self._write_title(ax, step, y)
            rows = y + 1 + np.arange(len(step.nodes))
            colors = [color if j == step.chosen else rival_color for j in range(len(rows))]
            bars = ax.barh(rows, step.proba, height=0.75, color=colors)
            ax.bar_label(bars, [f"{p:.3f}" for p in step.proba], padding=3, fontsize=8)
            self.bars_.append(bars)
            ticks += rows.tolist()
            names += [fit_text(printable(node), 9, LONGEST, least=0) for node in step.nodes]
            y = rows[-1] + 1.6
        ax.set_yticks(ticks, names, fontsize=9, parse_math=False)
        chosen = np.cumsum([0] + [len(step.nodes) for step in self.steps[:-1]])
        for start, step in zip(chosen, self.steps, strict=True):
            ax.get_yticklabels()[start + step.chosen].set_fontweight("bold")
        ax.set(xlim=(0, 1), ylim=(y - 0.9, -0.6), xlabel="Probability, given the parent")
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write_title(self, ax: Any, step: PathStep, y: float) -> list[Any]:
        """Write the parent of a step, and at the right the probability of the path so far."""
        where = (
            "top level"
            if step.parent == self.hierarchy.root
            else f"below {fit_text(printable(step.parent), 9, LONGEST, least=0)}"
        )
        if step.n_others:
            where += f", {step.n_others} more not shown"
        style = {"va": "center", "fontsize": 9, "color": "0.35", "parse_math": False}
        way = f"path so far: {step.path_proba:.3f}"
        return [
            ax.text(0.005, y, where, fontstyle="italic", **style),
            ax.text(1, y, way, ha="right", **style),
        ]


def _check_rivals(hierarchy: Hierarchy, n_rivals: int) -> None:
    if not hierarchy.is_tree:
        raise ValueError(
            "PredictionPathDisplay needs a tree, and the hierarchy is a DAG, in which several "
            "paths may lead to a node: HierarchyDisplay draws the probabilities of all nodes"
        )
    if not isinstance(n_rivals, Integral) or isinstance(n_rivals, bool) or n_rivals < 0:
        raise ValueError(f"n_rivals must be an integer of at least 0, got {n_rivals!r}")
