"""Trees of classes whose inner nodes have no names of their own: groups, which are numbered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._arrays import Adjacency, HierarchyArrays, gather
from hierclf.hierarchy._graph import Graph, build_graph
from hierclf.hierarchy._nodes import ROOT, Node, show


def even_bounds(n: int, branching: int) -> list[int]:
    """Return where the parts of n things in a row start and end, for a balanced tree of them.

    There are at most `branching` parts, as few as keep the tree as shallow as it can be, and the
    largest holds at most one thing more than the smallest. n is more than `branching`.
    """
    size = branching  # the largest power below n: the size of a full part
    while size * branching < n:
        size *= branching
    k = -(-n // size)
    return [n * i // k for i in range(k + 1)]


def join_rarest(counts: ArrayLike, branching: int) -> NDArray[np.intp]:
    """Return the parents in the Huffman tree of some counts.

    The rarest are joined first. So that each join but the first has exactly `branching` parts,
    the first has as many as are then left over. Among equals, single items go first.

    Returns
    -------
    ndarray of shape (n_items + n_joins,)
        The parent of each item and then of each join, as `tree_of_groups` takes them.
    """
    counts = np.asarray(counts)
    n = len(counts)
    order = np.argsort(counts, kind="stable")
    # Joins come in the order of their counts, too, so that two queues are all it takes.
    items, totals = order.tolist(), counts[order].tolist()
    joins: list[float] = []
    parents = np.full(n + max(1, -(-(n - 1) // (branching - 1))), -1, dtype=np.intp)
    item = join = 0
    size = 1 if n == 1 else 2 + (n - 2) % (branching - 1)
    while len(joins) < len(parents) - n:
        total = 0
        for _ in range(size):
            if item < n and (join == len(joins) or totals[item] <= joins[join]):
                part, count = items[item], totals[item]
                item += 1
            else:
                part, count = n + join, joins[join]
                join += 1
            parents[part] = n + len(joins)
            total += count
        joins.append(total)
        size = branching
    return parents


def tree_of_groups(classes: Sequence[Node], parents: ArrayLike) -> Graph:
    """Return the tree over some classes whose inner nodes are ``("group", number)``.

    Parameters
    ----------
    classes : sequence of nodes
        Distinct classes, sorted where they can be.
    parents : array-like of shape (n_classes + n_groups,)
        The number of the parent of each class and then of each group; classes come first, as in
        `classes`. The one group whose parent is -1 is the root.

    Returns
    -------
    Graph
        Below ``ROOT``. Groups are numbered as they come in it, level by level.

    Raises
    ------
    ValueError
        If a class has the name of a group.
    """
    parents = np.asarray(parents, dtype=np.intp)
    n, root = len(classes), int(np.flatnonzero(parents == -1)[0])
    counts = np.bincount(parents + 1, minlength=len(parents) + 1)[1:]
    children = Adjacency(
        np.concatenate(([0], np.cumsum(counts))), np.argsort(parents, kind="stable")[1:]
    )
    layers, order = [], [np.array([root])]
    while len(order[-1]):
        layers.append(len(order[-1]))
        order.append(gather(*children, order[-1])[0])
    ids = np.concatenate(order)
    names: list[Node] = [*classes, *[ROOT] * (len(parents) - n)]
    for number, group in enumerate(ids[ids >= n][1:].tolist()):
        names[group] = ("group", number)
    above = parents[ids[1:]]
    if any(type(c) is tuple for c in classes):
        # Siblings may be sorted otherwise, since tuples can be compared with names of groups.
        taken = set(names[n:]).intersection(classes)
        if taken:
            raise ValueError(f"the class {show(taken.pop())} has the name of a group")
        edges = zip(above.tolist(), ids[1:].tolist(), strict=True)
        return build_graph((names[p], names[c]) for p, c in edges)
    position = np.empty(len(ids), dtype=np.intp)
    position[ids] = np.arange(-1, len(ids) - 1)
    return Graph(
        root=ROOT,
        nodes=tuple(names[i] for i in ids[1:].tolist()),
        arrays=HierarchyArrays(
            edge_parents=position[above],
            edge_children=np.arange(len(ids) - 1),
            depths=np.repeat(np.arange(len(layers), dtype=np.intp), layers)[1:],
        ),
    )
