"""The decision of least expected cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf._utils.memory import check_fits
from hierclf._utils.sklearn_private import StrOptions
from hierclf.decisions._base import BaseDecision, Rule, by_depth, covering, nodes_of_level
from hierclf.hierarchy import Hierarchy

# Entries of a table of costs handled at a time.
_CHUNK = 1 << 22

# Cost of naming each of some nodes (rows) for each class (columns).
Table = NDArray[Any]
Name: TypeAlias = Literal["tree_distance", "lca_height"]
Cost: TypeAlias = Name | ArrayLike | Callable[[Any, Any], float]


class MinimumRisk(BaseDecision):
    r"""The node of least expected cost: some mistakes are worse than others.

    Take it where a wrong class near the right one does less harm than one far away. With
    probabilities :math:`p_c` of the classes and the cost :math:`C_{kc}` of predicting k
    where c is true it predicts

    .. math:: \arg\min_k \sum_c C_{kc} \, p_c

    which is conditional risk minimisation [1]_: no training, but the probabilities should
    be calibrated. It gives up some accuracy for milder mistakes.

    Parameters
    ----------
    cost : {"tree_distance", "lca_height"}, array-like or callable, default="tree_distance"
        What a mistake costs.

        - ``"tree_distance"``: the number of edges between the two nodes;
        - ``"lca_height"``: the height of their lowest common ancestor, as in [1]_;
        - an array of finite numbers, not negative: a column for each class, and a row for
          each class, or with ``over="nodes"`` for each node of ``hierarchy.nodes``;
        - a function ``cost(predicted_node, true_node)`` that returns such a number. It is
          called for each pair, so it is for hierarchies of moderate size.

    over : {"leaves", "nodes"}, default="leaves"
        What may be predicted: ``"leaves"`` are the classes, or the nodes of the level asked
        for; ``"nodes"`` are all nodes that have a class at or below them, so that a sample in
        doubt gets an inner node. That is for costs under which a vague answer may pay: with
        ``"tree_distance"`` it leads in a tree to the deepest node that is likelier than one
        half, if there is one; under ``"lca_height"`` none costs less than a leaf below it.

    See Also
    --------
    Threshold : Stops early at a probability of your choice.

    Notes
    -----
    Of equal costs the first wins: in the order of the classes, or else in node order, where
    the upper levels come first. Sums are rounded, so that costs that are equal on paper may
    differ in the last digit.

    In a tree the two named costs need no table, with :math:`P(a)` the probability of node a,
    and sums over the nodes a on the path to k, k included:

    .. math::

        E[\mathrm{distance}] &= E[\mathrm{depth}(c)]
            + \sum_a \left(1 - 2 P(a)\right) \\
        E[\mathrm{height}] &= H(\mathrm{root})
            - \sum_a P(a) \left(H(\mathrm{parent}(a)) - H(a)\right)

    so the work for a sample grows with the number of nodes. In a DAG they are tabulated once
    for each pair of candidate and class, in the smallest integers that hold them: 100 MB
    for 10,000 classes.

    References
    ----------
    .. [1] Karthik, Prabhu, Dokania and Gandhi, "No Cost Likelihood Manipulation at Test
       Time for Making Better Mistakes in Deep Networks", ICLR 2021.

    Examples
    --------
    Oak is the likeliest class, but cat is the safer answer: if the sample is a dog, cat is 2
    edges away from it, and oak 4.

    >>> from hierclf.decisions import MinimumRisk
    >>> tree = {"animal": ["cat", "dog"], "plant": ["oak"]}
    >>> proba, classes = [[0.375, 0.1875, 0.4375]], ["cat", "dog", "oak"]
    >>> MinimumRisk().decide(proba, classes, tree)
    array(['cat'], dtype='<U3')
    >>> MinimumRisk(over="nodes").decide(proba, classes, tree)
    array(['animal'], dtype='<U6')

    An array says that to miss an oak is worse than anything else: 0.125 is too likely.

    >>> cost = [[0, 1, 9], [1, 0, 9], [1, 1, 0]]
    >>> MinimumRisk(cost).decide([[0.5, 0.375, 0.125]], classes, tree)
    array(['oak'], dtype='<U3')
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "cost": [StrOptions({"tree_distance", "lca_height"}), "array-like", callable],
        "over": [StrOptions({"leaves", "nodes"})],
    }

    def __init__(
        self,
        cost: Cost = "tree_distance",
        over: Literal["leaves", "nodes"] = "leaves",
    ) -> None:
        self.cost = cost
        self.over = over

    def build(
        self, classes: NDArray[np.intp], hierarchy: Hierarchy, level: int | str | None = None
    ) -> Rule:
        """Prepare the decision; see :meth:`BaseDecision.build`."""
        cost, anywhere = self.cost, self.over == "nodes"
        is_array = not isinstance(cost, str) and not callable(cost)
        if level is not None and anywhere:
            raise ValueError(
                'MinimumRisk(over="nodes") may choose any node and cannot promise one of '
                f'level {level!r}; use over="leaves"'
            )
        if level is not None and is_array:
            raise ValueError(
                "an array of costs has a row for each class and says nothing of the nodes of "
                f"level {level!r}; give the cost as a function"
            )
        if anywhere:
            chosen, _ = covering(classes, hierarchy)
        else:
            chosen = classes if level is None else nodes_of_level(classes, hierarchy, level)
        if isinstance(cost, str):
            if hierarchy.is_tree:
                return _along_paths(cost, chosen, classes, hierarchy)
            table = _graph_costs(cost, chosen, classes, hierarchy)
        elif callable(cost):
            table = _called_costs(cost, chosen, classes, hierarchy)
        else:
            rows = np.arange(len(hierarchy)) if anywhere else classes
            table = _given_costs(cost, rows, classes, hierarchy)
            table = table[chosen] if anywhere else table
        return lambda proba: chosen[_cheapest(table, proba)]


def _along_paths(
    cost: str, chosen: NDArray[np.intp], classes: NDArray[np.intp], hierarchy: Hierarchy
) -> Rule:
    """Return the rule for a tree: what each step down adds to the cost, summed along paths."""
    nodes, sums = covering(classes, hierarchy)
    parents = hierarchy.arrays.edge_parents[nodes]  # in a tree edge i ends in node i
    if cost == "tree_distance":
        # A step down is a step away from all classes, and towards those below the node.
        away, towards = 1.0, np.full(len(nodes), 2.0)
    else:
        heights = np.append(hierarchy.heights, hierarchy.depth)  # the last is the root's, at -1
        away, towards = 0.0, (heights[parents] - heights[nodes]).astype(np.float64)
    rows = np.searchsorted(nodes, chosen)
    above = np.searchsorted(nodes, parents)
    below_top = by_depth(nodes, hierarchy)[1:]

    def rule(proba: NDArray[Any]) -> NDArray[np.intp]:
        costs = away * proba.sum(axis=1, dtype=np.float64) - towards[:, None] * (sums @ proba.T)
        for depth in below_top:
            costs[depth] += costs[above[depth]]
        cheapest: NDArray[np.intp] = costs[rows].argmin(axis=0)
        return chosen[cheapest]

    return rule


def _cheapest(table: Table, proba: NDArray[Any]) -> NDArray[np.intp]:
    """Return the row of the table with the least expected cost, for each row of `proba`."""
    step = max(1, _CHUNK // table.shape[1])
    parts = [
        table[start : start + step].astype(np.float64, copy=False) @ proba.T
        for start in range(0, len(table), step)
    ]
    cheapest: NDArray[np.intp] = np.concatenate(parts).argmin(axis=0)
    return cheapest


def _graph_costs(
    cost: str, chosen: NDArray[np.intp], classes: NDArray[np.intp], hierarchy: Hierarchy
) -> Table:
    """Tabulate a named cost in a DAG.

    Many candidates are followed through the graph at a time, since asking for one pair after
    the other takes minutes for a few thousand classes.
    """
    n = len(hierarchy) + 1  # as ids: the root is 0, node i is i + 1, parents come first
    parents = np.split(hierarchy.arrays.parent_indices + 1, hierarchy.arrays.parent_offsets[1:-1])
    depths = np.append(0, hierarchy.depths)
    heights = np.append(hierarchy.depth, hierarchy.heights)
    # Later in this order is lower; of equally deep nodes the first in node order counts.
    order = np.lexsort((-np.arange(n), depths))
    rank = np.argsort(order)

    dtype = np.min_scalar_type(2 * hierarchy.depth)
    _check_fits(chosen, classes, dtype.itemsize)
    table = np.empty((len(chosen), len(classes)), dtype)
    far = 2 * n
    step = max(1, _CHUNK // n)
    for start in range(0, len(chosen), step):
        part = chosen[start : start + step]
        steps_up = np.full((n, len(part)), far)
        steps_up[part + 1, np.arange(len(part))] = 0
        for i in range(n - 1, 0, -1):
            above = parents[i - 1]
            steps_up[above] = np.minimum(steps_up[above], steps_up[i] + 1)
        if cost == "tree_distance":
            distance = steps_up
            for i in range(1, n):
                np.minimum(distance[i], distance[parents[i - 1]].min(axis=0) + 1, out=distance[i])
            costs = distance
        else:
            lowest = np.where(steps_up < far, rank[:, None], 0)  # the root has rank 0
            for i in range(1, n):
                np.maximum(lowest[i], lowest[parents[i - 1]].max(axis=0), out=lowest[i])
            costs = heights[order][lowest]
        table[start : start + step] = costs[classes + 1].T
    return table


def _called_costs(
    cost: Callable[[Any, Any], Any],
    chosen: NDArray[np.intp],
    classes: NDArray[np.intp],
    hierarchy: Hierarchy,
) -> Table:
    """Tabulate what a function returns."""
    _check_fits(chosen, classes, itemsize=8)
    names = hierarchy.nodes
    truths = [names[i] for i in classes.tolist()]
    table = np.empty((len(chosen), len(classes)))
    for row, i in enumerate(chosen.tolist()):
        for column, truth in enumerate(truths):
            value = cost(names[i], truth)
            try:
                table[row, column] = float(value)
            except (TypeError, ValueError):
                raise TypeError(
                    f"cost({names[i]!r}, {truth!r}) must be a number, it is {value!r}"
                ) from None
    _refuse_bad_costs(table, chosen, classes, hierarchy)
    return table


def _check_fits(chosen: NDArray[np.intp], classes: NDArray[np.intp], itemsize: int) -> None:
    """Refuse to tabulate costs for which there is no memory."""
    cure = 'a tree with cost="tree_distance" or "lca_height" needs no table'
    what = "the table of the costs of MinimumRisk"
    check_fits(len(chosen), len(classes), itemsize, what=what, cure=cure)


def _given_costs(
    cost: ArrayLike, rows: NDArray[np.intp], classes: NDArray[np.intp], hierarchy: Hierarchy
) -> Table:
    """Return an array of costs, checked."""
    try:
        table = np.asarray(cost, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"cost must be an array of numbers: {error}") from error
    if table.shape != (len(rows), len(classes)):
        what = "class, in their order" if rows is classes else "node of hierarchy.nodes"
        raise ValueError(
            f"cost must have shape {(len(rows), len(classes))}, a row for each {what}, and a "
            f"column for each class; its shape is {table.shape}"
        )
    _refuse_bad_costs(table, rows, classes, hierarchy)
    return table


def _refuse_bad_costs(
    table: Table, rows: NDArray[np.intp], classes: NDArray[np.intp], hierarchy: Hierarchy
) -> None:
    bad = np.argwhere(~(np.isfinite(table) & (table >= 0)))
    if len(bad):
        row, column = bad[0]
        predicted, truth = hierarchy.nodes[rows[row]], hierarchy.nodes[classes[column]]
        raise ValueError(
            f"costs must be finite and not negative: predicting {predicted!r} where {truth!r} "
            f"is true costs {table[row, column]}"
        )
