"""Decisions that look at probabilities alone: the likeliest, and how far down to trust it."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hierclf._utils.naming import check_reject_label
from hierclf._utils.sklearn_private import Interval
from hierclf.decisions._base import BaseDecision, Rule, by_depth, covering, nodes_of_level
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._arrays import gather


class Argmax(BaseDecision):
    """The likeliest class; of a level, its likeliest node.

    It makes the fewest mistakes where all mistakes are equally bad, and is what
    ``predict`` of most classifiers does. Where some mistakes are worse than others, see
    :class:`MinimumRisk`.

    Of equally likely classes the first column wins, of equally likely nodes of a level
    the first in node order.

    Examples
    --------
    Cats and dogs share their probability: oak is the likeliest leaf, animal the likelier
    kind.

    >>> from hierclf.decisions import Argmax
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> proba, classes = [[0.375, 0.125, 0.5], [0.375, 0.25, 0.375]], ["cat", "dog", "oak"]
    >>> Argmax().decide(proba, classes, tree)
    array(['oak', 'cat'], dtype='<U3')
    >>> Argmax().decide(proba, classes, tree, level=0)
    array(['animal', 'animal'], dtype='<U6')
    """

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        chosen = classes if level is None else nodes_of_level(classes, hierarchy, level)
        if chosen is classes:
            return lambda proba: classes[proba.argmax(axis=1)]
        nodes, sums = covering(classes, hierarchy)
        sums = sums[np.searchsorted(nodes, chosen)]
        return lambda proba: chosen[(sums @ proba.T).argmax(axis=0)]


class TopDown(BaseDecision):
    """From the root to the likeliest child, and on until nothing is below.

    What a cascade of local classifiers does [1]_, one per parent node: take it to compare
    with one. It names a class whose ancestors are each the likeliest of their siblings,
    but a wrong turn at the top cannot be mended further down; :class:`Argmax` is right
    more often.

    The probability of a node is the sum of the classes at or below it. Nodes with no class
    at or below them are never chosen; of equally likely children the first in node order
    is. A class that is an inner node ends the way only where no class is below it. With a
    level the way ends on it.

    References
    ----------
    .. [1] Silla and Freitas, "A survey of hierarchical classification across different
       application domains", Data Mining and Knowledge Discovery 22, 2011.

    Examples
    --------
    Oak is the likeliest leaf, but less likely than cat and dog together.

    >>> from hierclf.decisions import TopDown
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> TopDown().decide([[0.375, 0.1875, 0.4375]], ["cat", "dog", "oak"], tree)
    array(['cat'], dtype='<U3')
    """

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        nodes, sums = covering(classes, hierarchy)
        above, below = hierarchy.arrays.edge_parents, hierarchy.arrays.edge_children
        kept = np.isin(below, nodes)
        if level is not None:
            kept &= ~np.isin(above, nodes_of_level(classes, hierarchy, level))
        # From here on the root is 0 and node i of `nodes` is i + 1.
        ids = np.concatenate(([-1], nodes))
        parents, children = np.searchsorted(ids, above[kept]), np.searchsorted(ids, below[kept])
        counts = np.bincount(parents, minlength=len(ids))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)

        def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
            masses = sums @ proba.T
            reached = np.zeros(len(proba), dtype=np.intp)
            rows = np.arange(len(proba))
            while len(rows):
                found, counts = gather(offsets, children, reached[rows])
                rows, counts = rows[counts > 0], counts[counts > 0]
                if len(rows):
                    values = masses[found - 1, np.repeat(rows, counts)]
                    reached[rows] = found[_first_of_largest(values, counts)]
            return ids[reached]

        return rule


def _first_of_largest(values: NDArray[Any], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where the largest value of each run is; `counts` are the lengths of the runs."""
    largest = np.maximum.reduceat(values, np.cumsum(counts) - counts)
    # Said this way round, a run with NaN still has a largest value.
    places = np.flatnonzero(~(values < np.repeat(largest, counts)))
    runs = np.repeat(np.arange(len(counts)), counts)[places]
    result: NDArray[np.intp] = places[np.diff(runs, prepend=-1) > 0]
    return result


class Threshold(BaseDecision):
    """The deepest node that is likely enough: an inner one where the leaves are in doubt.

    For non-mandatory leaf prediction [1]_: when "some animal" is of more use than the
    wrong animal. Of the samples for which some node is likely enough, a share of at least
    `threshold` gets a right answer where the probabilities are calibrated.

    The probability of a node is the sum of the classes at or below it. Of equally deep
    nodes the likeliest is chosen, then the first in node order; nodes with no class at or
    below them never are. The root is not a class: where no node of the top level is likely
    enough, the likeliest of them is chosen all the same. From one half up, all nodes that
    pass lie on one path in a tree, and this is the descent of WordTree [2]_.

    It raises ValueError for any `level`, since it stops where it must.

    Parameters
    ----------
    threshold : float, default=0.5
        The least probability, from 0 to 1.

    See Also
    --------
    MinimumRisk : With ``over="nodes"``, weighs being wrong against being vague.

    References
    ----------
    .. [1] Silla and Freitas, "A survey of hierarchical classification across different
       application domains", Data Mining and Knowledge Discovery 22, 2011.
    .. [2] Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017.

    Examples
    --------
    >>> from hierclf.decisions import Threshold
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> proba = [[0.625, 0.25, 0.125], [0.375, 0.375, 0.25]]
    >>> Threshold(0.5).decide(proba, ["cat", "dog", "oak"], tree)
    array(['cat', 'animal'], dtype='<U6')

    The likeliest kind of the second sample has the probability 0.75.

    >>> Threshold(0.8).decide(proba, ["cat", "dog", "oak"], tree)
    array(['animal', 'animal'], dtype='<U6')
    >>> Threshold(0.8, reject_label="unknown").decide(proba, ["cat", "dog", "oak"], tree)
    array(['animal', 'unknown'], dtype='<U7')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "reject_label": "no_validation",
    }

    def __init__(self, threshold: float = 0.5, reject_label: Any = None) -> None:
        self.threshold = threshold
        self.reject_label = reject_label

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        check_reject_label(self.reject_label, hierarchy)
        may_reject = self.reject_label is not None
        if level is not None and not may_reject:
            raise ValueError(
                f"Threshold stops where it must and cannot promise a node of level {level!r}; "
                "for a level use Argmax, TopDown or MinimumRisk, or give a reject_label for "
                "samples in doubt"
            )
        nodes, sums = covering(classes, hierarchy)
        depths = by_depth(nodes, hierarchy)
        if level is not None:
            on_level = nodes_of_level(classes, hierarchy, level)
            sums = sums[np.searchsorted(nodes, on_level)]
            nodes, depths = on_level, [slice(None)]
        threshold = float(self.threshold)

        def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
            masses = sums @ proba.T
            chosen = np.full(len(proba), -1)
            rows = np.arange(len(proba))
            for depth in reversed(depths):
                equally_deep = masses[depth, rows]
                likeliest = equally_deep.argmax(axis=0)
                passes = equally_deep[likeliest, np.arange(len(rows))] >= threshold
                if depth is depths[0] and not may_reject:
                    passes[:] = True
                chosen[rows[passes]] = nodes[depth][likeliest[passes]]
                rows = rows[~passes]
            return chosen

        return rule
